"""What describes a network: the names, defaults and ranges of its options. They are those of the
C++ library (network_options.h, score_model.h) and of the metadata of its checkpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from scorejet._mlp import MLP
from scorejet._unet import UNet

STRUCTURES = ("none", "diagonal", "low_rank", "full")
CHOICES = {
    "network": ("mlp", "unet"),
    "s2": STRUCTURES,
    "s3": STRUCTURES,
    "parameterisation": ("psd", "free"),
    "scale": ("noise", "data"),
}
DEFAULTS: dict[str, Any] = {
    "dim": 0,
    "image_shape": [],
    "network": "auto",
    "s2": "low_rank",
    "rank": 20,
    "s3": "none",
    "s3_rank": 20,
    "share_trunk": True,
    "width": 256,
    "depth": 2,
    "channels": 32,
    "blocks": 1,
    "levels": 2,
    "patch": 2,
    "parameterisation": "psd",
    "scale": "noise",
    "s1": "",
}
# What a checkpoint of before there was such an option meant.
BEFORE = {"s3": "none", "scale": "noise", "s1": ""}


def fail(where: str, text: str) -> ValueError:
    """The error of an argument, to be raised."""
    return ValueError(f"[scorejet.{where}] {text}")


def complete_options(options: Mapping[str, Any], where: str = "nets.ScoreNet") -> dict[str, Any]:
    """All options, checked; those that are not given have their defaults.

    Raises
    ------
    ValueError : naming the option, what it must be and what it is.
    """
    for key in options:
        if key not in DEFAULTS:
            raise fail(where, f"options must be among {', '.join(DEFAULTS)}; got {key}")
    full = {**DEFAULTS, **options}
    _check_types(full, where)
    full["image_shape"] = list(full["image_shape"])
    shape, size = full["image_shape"], math.prod(full["image_shape"])
    if shape and full["dim"] == 0:
        full["dim"] = size
    if full["dim"] < 1:
        raise fail(where, f"dim must be at least 1; got {full['dim']}")
    if full["network"] == "auto":
        full["network"] = "unet" if shape else "mlp"
    for key, names in CHOICES.items():
        if full[key] not in names:
            raise fail(where, f'{key} must be {" or ".join(names)}; got "{full[key]}"')
    if shape and (len(shape) != 3 or full["dim"] != size):
        raise fail(where, f"image_shape must be [C, H, W] of {full['dim']} numbers; got {shape}")
    _check_structure(full, where)
    return full


def _check_types(options: Mapping[str, Any], where: str) -> None:
    for key, default in DEFAULTS.items():
        value = options[key]
        if type(default) is list:
            good = isinstance(value, list | tuple) and all(type(n) is int and n > 0 for n in value)
        else:
            good = type(value) is type(default)
        if not good:
            kind = {list: "a list of positive integers", int: "an integer", bool: "true or false"}
            raise fail(where, f"{key} must be {kind.get(type(default), 'a text')}; got {value!r}")
        if type(default) is int and value < 1 and key != "dim":
            raise fail(where, f"{key} must be at least 1; got {value}")


def _check_structure(options: Mapping[str, Any], where: str) -> None:
    dim, s2, s3 = options["dim"], options["s2"], options["s3"]
    if s2 == "low_rank" and options["rank"] > dim:
        raise fail(where, f"rank must be at most D = {dim}; got {options['rank']}")
    if s2 == "none" and (s3 != "none" or options["s1"]):
        raise fail(
            where, "s2 must be diagonal, low_rank or full with an s3 or a given s1; got none"
        )
    if options["network"] == "mlp":
        return
    if not options["image_shape"]:
        raise fail(where, f"image_shape must be [C, H, W] for a unet; got vectors of {dim} numbers")
    if "full" in (s2, s3):
        raise fail(where, "network must be mlp where s2 or s3 is full; got unet")
    if options["levels"] > 16:
        raise fail(where, f"levels must be at most 16; got {options['levels']}")
    stride = options["patch"] << (options["levels"] - 1)
    height, width = options["image_shape"][1:]
    if height % stride or width % stride:
        raise fail(
            where,
            "image height and width must be multiples of patch * 2^(levels-1) = "
            f"{stride}; got {height} x {width}",
        )


def make_network(options: Mapping[str, Any]) -> MLP | UNet:
    """The network of complete options, freshly initialised."""
    common = {key: options[key] for key in ("s2", "rank", "s3", "s3_rank", "share_trunk")}
    common["first"] = not options["s1"]
    if options["network"] == "mlp":
        return MLP(options["dim"], width=options["width"], depth=options["depth"], **common)
    own = {key: options[key] for key in ("channels", "blocks", "levels", "patch")}
    return UNet(tuple(options["image_shape"]), **own, **common)


def parse_description(description: Mapping[str, str], source: str) -> dict[str, Any]:
    """The options that a checkpoint's metadata describe.

    Raises
    ------
    RuntimeError : naming `source` and the entry that is missing or malformed.
    """
    options: dict[str, Any] = {}
    for key, default in DEFAULTS.items():
        text = description.get(key, BEFORE.get(key))
        if text is None:
            if key == "s3_rank" and options["s3"] == "none":
                continue
            raise RuntimeError(f'[scorejet] {source}: metadata must hold "{key}"; got none')
        value = _parse(text, default)
        if value is None or (key in CHOICES and text not in CHOICES[key]):
            kinds = {int: "a number", list: "numbers like 1x28x28", bool: "1 or 0"}
            wanted = kinds.get(type(default)) or " or ".join(CHOICES.get(key, ("a text",)))
            raise RuntimeError(
                f'[scorejet] {source}: metadata {key} must be {wanted}; got "{text}"'
            )
        options[key] = value
    try:
        return complete_options(options, "checkpoint")
    except ValueError as error:
        raise RuntimeError(f"[scorejet] {source}: {error}") from None


def _parse(text: str, default: Any) -> Any:
    if type(default) is bool:
        return {"1": True, "true": True, "0": False, "false": False}.get(text)
    if type(default) is int:
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    if type(default) is list:
        parts = text.split("x") if text else []
        good = all(re.fullmatch(r"[1-9][0-9]{0,17}", part) for part in parts)
        return [int(part) for part in parts] if good else None
    return text


def load_state(module: nn.Module, tensors: Mapping[str, Any], source: str, prefix: str) -> None:
    """Copies tensors into parameters and buffers of the same names, all of them and no others.

    Raises
    ------
    RuntimeError : naming `source`, the first tensor that differs, and the shape it must have.
    """
    state = module.state_dict()
    for name, target in state.items():
        found = tensors.get(name)
        wanted = f"{prefix}{name} {list(target.shape)}"
        if found is None:
            raise RuntimeError(f"[scorejet] {source} must hold {wanted}; got none")
        if found.shape != target.shape or not found.is_floating_point():
            got = f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)}"
            raise RuntimeError(f"[scorejet] {source} must hold {wanted} of floats; got {got}")
    extra = sorted(set(tensors) - set(state))
    if extra:
        raise RuntimeError(
            f"[scorejet] {source} must hold this model alone; got {prefix}{extra[0]}"
        )
    module.load_state_dict({name: tensors[name].to(target.dtype) for name, target in state.items()})
