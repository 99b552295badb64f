#!/usr/bin/env bash
# The Python package on the torch that pip brings: a virtual environment in build/python-env (made once,
# several GB), `pip install .`, and its tests beside build/scorejet where that is built. Arguments go to
# pytest; TORCH="torch==2.7.*" asks for another one.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/progress.sh
environment=build/python-env
mkdir -p build
[ -x $environment/bin/python ] || python3 -m venv $environment
with_progress "fetching ${TORCH:-torch}" $environment/bin/pip install -q "${TORCH:-torch}" numpy pytest
with_progress "building the package" $environment/bin/pip install -q --no-deps --force-reinstall .
[ -x build/scorejet ] && export SCOREJET_COMMAND="$PWD/build/scorejet"
export OMP_NUM_THREADS=1
exec $environment/bin/python -m pytest -q -p no:cacheprovider python/tests "$@"
