"""Builds the package against the torch of the Python that pip installs into.

Under build isolation `import torch` fails here, though that Python has one: pip hides it by two
environment variables. So it is asked of a child without them.
"""

import json
import os
import subprocess
import sys

from scikit_build_core.build import *  # noqa: F403
from scikit_build_core.build import build_editable as _build_editable
from scikit_build_core.build import build_wheel as _build_wheel

_ASK = """
import importlib.util as u, json, pathlib, runpy
spec = u.find_spec("torch")
folder = pathlib.Path(spec.submodule_search_locations[0])
print(json.dumps([runpy.run_path(str(folder / "version.py"))["__version__"], str(folder)]))
"""


def _torch():
    bare = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONNOUSERSITE")}
    for environment in (os.environ, bare):
        found = subprocess.run(
            [sys.executable, "-c", _ASK], env=environment, cwd="/", capture_output=True, text=True
        )
        if found.returncode == 0:
            return json.loads(found.stdout.splitlines()[-1])
    raise SystemExit(
        "scorejet is built against the PyTorch of this Python, which has none: pip install torch, "
        "then again (with uv or python -m build: --no-build-isolation or --no-isolation)"
    )


def _with_torch(build, *arguments):
    version, folder = _torch()
    os.environ["SCOREJET_TORCH"] = folder
    print(f"scorejet: building against PyTorch {version} in {folder}", flush=True)
    return build(*arguments)


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return _with_torch(_build_wheel, directory, config_settings, metadata_directory)


def build_editable(directory, config_settings=None, metadata_directory=None):
    return _with_torch(_build_editable, directory, config_settings, metadata_directory)
