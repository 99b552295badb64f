#!/usr/bin/env bash
# Installs what is missing, builds, checks formatting and lengths, runs every test, and each benchmark
# for a moment, through ctest. Arguments go to cmake.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh -DSCOREJET_BUILD_TESTS=ON -DSCOREJET_BUILD_BENCH=ON "$@"
if command -v clang-format-14 >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs -r clang-format-14 --dry-run -Werror
fi
./scripts/check_lengths.sh
cd build
exec ctest --output-on-failure
