#!/usr/bin/env bash
# Builds and tests on Debian 13 (LibTorch 2.6, gcc 14), in a system of its own under build/debian13 that
# debootstrap makes once (about 3 GB). Needs root and the package debootstrap. Arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/progress.sh
root="$PWD/build/debian13"
mirror="$(sed -n 's/^URIs: *//p; s/^deb \([^ ]*\) .*/\1/p' /etc/apt/sources.list.d/debian.sources \
  /etc/apt/sources.list 2>/dev/null | head -1)"
packages="$(sed -n '/^packages=(/,/)/p' scripts/dependencies.sh | tr -d '()' | sed 's/packages=//' |
  tr '\n' ' ' | sed 's/clang-format-14//')"
if [ ! -e "$root/made" ]; then
  mkdir -p "$root"
  with_progress "making a Debian 13" debootstrap --variant=minbase trixie "$root" "$mirror"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  for file in /etc/apt/apt.conf.d/*proxy*; do [ -e "$file" ] && cp "$file" "$root/etc/apt/apt.conf.d/"; done
  with_progress "installing the build's packages" chroot "$root" sh -c \
    "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git npm $packages"
  touch "$root/made"
fi
mkdir -p "$root/src"
git ls-files -z | xargs -0 cp --parents -t "$root/src"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
inside() { chroot "$root" env HOME=/root CCACHE_SLOPPINESS=pch_defines,time_macros bash -c "cd /src && $1"; }
inside "cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
  -DSCOREJET_WERROR=ON -DSCOREJET_BUILD_BENCH=ON > configure.log" 
inside "cmake --build build --parallel"
inside "ctest --test-dir build --output-on-failure $*"
