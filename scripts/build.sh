#!/usr/bin/env bash
# Builds into build/ (arguments are handed to cmake's configuration).
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/dependencies.sh
export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@" \
  >build.log 2>&1 || { cat build.log; exit 1; }
cmake --build build "--parallel" | grep -vE '^\[[0-9]+/[0-9]+\]' || [ "${PIPESTATUS[0]}" -eq 0 ]
rm -f build.log
