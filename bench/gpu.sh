#!/usr/bin/env bash
# The figures of `scorejet bench` on a CUDA device: builds against a CUDA LibTorch (2.x), runs, writes
# JSON.
#
#   LIBTORCH=/opt/libtorch bench/gpu.sh [bench.json]
set -euo pipefail
cd "$(dirname "$0")/.."
: "${LIBTORCH:?must name the folder of a CUDA LibTorch}"
cmake -S . -B build-cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$LIBTORCH" \
  -DSCOREJET_BUILD_TESTS=OFF
cmake --build build-cuda
exec build-cuda/scorejet bench --device cuda --json "${1:-bench-cuda.json}"
