"""A run's folder, from Python: its checkpoint and its configuration, and weights put back."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorejet._files import fail_file, read_json, read_safetensors, write_safetensors
from scorejet._options import parse_description

_FORMAT = "scorejet checkpoint 1"
_NUMBERS = ("step", "seconds", "best_first", "best_second", "best_third")


@dataclass
class Checkpoint:
    """A checkpoint taken apart: the options of its model, tensors by name, and its metadata."""

    path: Path
    options: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def group(self, name: str) -> dict[str, Tensor]:
        """Those of "weights", "ema" or "data", without that word."""
        start = f"{name}/"
        return {k[len(start) :]: t for k, t in self.tensors.items() if k.startswith(start)}

    @property
    def run(self) -> Path:
        """The folder of the run; that of the checkpoint where it lies elsewhere."""
        folder = self.path.parent
        return folder.parent if folder.name == "checkpoints" else folder


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Of a run's folder, or of a checkpoint's own file.

    Raises
    ------
    FileNotFoundError : where there is none.
    RuntimeError : naming the file, for one that is malformed or no checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        run, path = path, path / "checkpoints" / "last.safetensors"
        if not path.exists():
            raise fail_file(
                run, "must be the folder of a run; checkpoints/last.safetensors is missing"
            )
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != _FORMAT:
        raise fail_file(path, f'must be of format "{_FORMAT}"; got "{metadata.get("format")}"')
    checkpoint = Checkpoint(path, parse_description(metadata, str(path)), tensors, metadata)
    for name in ("mean", "variance"):
        moment = tensors.get(f"data/{name}")
        if moment is None or moment.shape != (checkpoint.options["dim"],):
            got = "none" if moment is None else list(moment.shape)
            raise fail_file(
                path, f"data/{name} must have shape [{checkpoint.options['dim']}]; got {got}"
            )
    return checkpoint


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The settings of a run's config.toml, by section; none where there is no such file."""
    if not path.exists():
        return {}
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise fail_file(path, f"must be TOML: {error}") from None
    if not all(isinstance(section, dict) for section in config.values()):
        raise fail_file(path, "must hold sections of settings alone")
    return config


def trained_range(config: dict[str, dict[str, Any]]) -> tuple[float, float] | None:
    """The least and the largest noise level that a configuration trains on."""
    noise = config.get("noise", {})
    low, high = noise.get("sigma"), noise.get("sigma_max", 0)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return float(low), float(max(low, high))


def describe_training(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a model card says of a run, as JSON has it; files by their names, without folders."""
    config = read_config(checkpoint.run / "config.toml")
    for section, key in (("data", "name"), ("s1", "from")):
        if isinstance(config.get(section, {}).get(key), str):
            config[section][key] = Path(config[section][key]).name
    config.get("data", {}).pop("dir", None)
    details: dict[str, Any] = {
        "settings": {
            section: {key: _plain(value) for key, value in values.items()}
            for section, values in config.items()
        }
    }
    for key in _NUMBERS:
        if key in checkpoint.metadata:
            details[key] = _number(checkpoint, key)
    calibration = checkpoint.run / "calibration.json"
    if calibration.exists():
        details["calibration"] = read_json(calibration)
        check_details(details, calibration)
    return details


def check_details(details: dict[str, Any], source: Path) -> None:
    """Refuses details that a model card cannot be written from."""
    calibration, settings = details.get("calibration", []), details.get("settings", {})
    good = isinstance(calibration, list)
    for entry in calibration if good else []:
        good = good and isinstance(entry, dict) and _is_fitted(entry)
    if not good:
        raise fail_file(source, "must hold the calibration that scorejet calibrate wrote")
    if not isinstance(settings, dict) or not all(isinstance(v, dict) for v in settings.values()):
        raise fail_file(source, "settings must be sections of settings")


def _is_fitted(entry: dict[str, Any]) -> bool:
    lists = [entry.get("levels")]
    for kind in ("raw", "calibrated"):
        lists.append(entry[kind].get("coverage") if isinstance(entry.get(kind), dict) else None)
    sizes = {len(numbers) if isinstance(numbers, list) else -1 for numbers in lists}
    if len(sizes) != 1 or -1 in sizes:
        return False
    numbers = [entry.get("sigma"), entry.get("temperature")]
    numbers += [number for several in lists for number in several or []]
    return all(isinstance(number, int | float) for number in numbers)


def _number(checkpoint: Checkpoint, key: str) -> Any:
    text = checkpoint.metadata[key]
    try:
        return int(text) if key == "step" else _plain(float(text))
    except ValueError:
        raise fail_file(checkpoint.path, f'metadata {key} must be a number; got "{text}"') from None


def _plain(value: Any) -> Any:
    """JSON has no infinities: they become texts."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def replace_weights(checkpoint: Checkpoint, weights: dict[str, Tensor]) -> None:
    """Writes the checkpoint again with these as its weights and averaged weights.

    Raises
    ------
    ValueError : for weights of other names or shapes, and for one that is not finite in float32.
    """
    where = "[scorejet.nets.save_run_weights]"
    old = checkpoint.group("weights")
    if {k: t.shape for k, t in old.items()} != {k: t.shape for k, t in weights.items()}:
        raise ValueError(f"{where} net must have the parameters of {checkpoint.path}; got others")
    tensors = dict(checkpoint.tensors)
    for name, tensor in weights.items():
        held = tensor.detach().to(device="cpu", dtype=torch.float32)
        if not bool(torch.isfinite(held).all()):
            raise ValueError(f"{where} net must have finite weights; got others in {name}")
        tensors[f"weights/{name}"] = tensors[f"ema/{name}"] = held
    write_safetensors(checkpoint.path, tensors, checkpoint.metadata)
