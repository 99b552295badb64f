#!/usr/bin/env bash
# Installs, with apt, whatever of the build's packages is missing (docs/reference/dependencies.md). Sourced by the
# other scripts; safe to call again and again.
set -euo pipefail
packages=(g++ cmake ninja-build ccache lld pkg-config libtorch-dev libopenblas-openmp-dev libfmt-dev
  nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libzip-dev libpng-dev zlib1g-dev libssl-dev
  libcsv-dev libpango1.0-dev fonts-dejavu-core fonts-droid-fallback
  libgtest-dev libbenchmark-dev python3-torch python3-pytest gnuplot-nox clang-format-14)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  source "$(dirname "${BASH_SOURCE[0]}")/progress.sh"
  sudo=""
  [ "$(id -u)" -eq 0 ] || { sudo="sudo"; sudo -v; }
  with_progress "looking for ${#missing[@]} packages" $sudo apt-get update -qq
  with_progress "installing ${missing[*]}" $sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
