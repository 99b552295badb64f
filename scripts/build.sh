#!/usr/bin/env bash
# Builds into build/ (arguments are handed to cmake's configuration).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/progress.sh
./scripts/dependencies.sh
export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1
with_progress configure cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"
show_build cmake --build build --parallel
