"""The command beside which the Python nets are tested, data for it and runs that it trains."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scorejet"


def find_package() -> None:
    """The installed package, or the one beside this, or its nets alone, which need no build."""
    try:
        importlib.import_module("scorejet.nets")
        return
    except ImportError:
        sys.path.insert(0, str(PACKAGE.parent))
    try:
        importlib.import_module("scorejet.nets")
    except ImportError:
        package = types.ModuleType("scorejet")
        package.__path__ = [str(PACKAGE)]
        sys.modules["scorejet"] = package


find_package()
from net_runs import GOLDEN, train  # noqa: E402


@pytest.fixture(scope="session")
def command():
    """Runs the command with arguments; what SCOREJET_COMMAND names."""
    path = os.environ.get("SCOREJET_COMMAND")
    if not path:
        pytest.skip("SCOREJET_COMMAND must be the path of the scorejet command; it is not set")

    def run(*arguments: object) -> str:
        words = [path, *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A folder of small data: colours.npy [60, 3, 8, 12] and points to score."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:8, :12]
    images = []
    for _ in range(60):
        bump = np.exp(
            -((rows - generator.uniform(1, 6)) ** 2 + (columns - generator.uniform(1, 10)) ** 2) / 4
        )
        images.append(bump * generator.uniform(0.2, 1, size=(3, 1, 1)))
    colours = np.stack(images).astype("f4")
    np.save(folder / "colours.npy", colours)
    noise = 0.3 * generator.normal(size=(3, 288))
    np.save(folder / "colours_points.npy", (colours[:3].reshape(3, -1) + noise).astype("f4"))
    for name in ("rows", "points", "discs", "disc_points"):
        (folder / f"{name}.npy").write_bytes((GOLDEN / f"{name}.npy").read_bytes())
    (folder / "config.toml").write_text("")
    return folder


@pytest.fixture(scope="session")
def make_run(command, data, tmp_path_factory):
    """A run of a configuration, trained once; a copy of its own for each caller."""
    folder, made = tmp_path_factory.mktemp("runs"), []

    def make(name: str, out: Path) -> Path:
        if name not in made:
            train(command, data, name, folder / name)
            made.append(name)
        shutil.copytree(folder / name, out)
        return out

    return make
