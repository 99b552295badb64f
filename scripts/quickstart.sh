#!/usr/bin/env bash
# From a bare Debian 12 machine to a denoised MNIST with error bars: installs, builds, fetches, trains,
# denoises, samples, reports. A second call reuses what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh -DSCOREJET_BUILD_TESTS=OFF
run=runs/quickstart
scorejet=./build/scorejet
$scorejet data fetch mnist
if [ ! -f "$run/.trained" ]; then
  resume=""
  [ -f "$run/checkpoints/last.safetensors" ] && resume="--resume"
  $scorejet train configs/quickstart.toml --out "$run" $resume
  touch "$run/.trained"
fi
[ -f "$run/denoise/metrics.json" ] ||
  $scorejet denoise "$run" test --sigma 0.5 --pcs 20 --samples 2 --limit 1000 --baseline --out "$run/denoise"
[ -f "$run/sample/metrics.json" ] ||
  $scorejet sample "$run" --kernel langevin,line-ozaki-diagonal --warmup 100 --steps 400 --chains 8 --sigma 0.5 \
    --out "$run/sample"
$scorejet report "$run"
echo "done; open $PWD/$run/report.html"
