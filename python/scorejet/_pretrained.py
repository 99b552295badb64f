"""A model as a folder that torch and safetensors alone can read: config.json, model.safetensors
and README.md, and s1.pt where the model was given its s1. Change what is exported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorejet._card import model_card
from scorejet._files import fail_file, read_json, read_safetensors, write_file, write_safetensors
from scorejet._given import open_given_first
from scorejet._options import fail, load_state
from scorejet._runs import check_details

_FORMAT = "scorejet network 1"
_TYPES = {"float32": torch.float32, "float16": torch.float16}


class _Folders:
    """What is used of huggingface_hub's mixin, for folders alone."""

    def save_pretrained(self, save_directory: str | Path, **hub: Any) -> None:
        if hub:
            named = ", ".join(sorted(hub))
            raise fail("nets.ScoreNet.save_pretrained", f"{named} needs huggingface_hub")
        self._save_pretrained(Path(save_directory))

    def _save_pretrained(self, save_directory: Path) -> None:
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, name: str, **hub: Any) -> Any:
        raise fail(
            "nets.ScoreNet.from_pretrained",
            f"folder must be one where huggingface_hub is missing; got {name}",
        )


try:
    from huggingface_hub import PyTorchModelHubMixin as _Base  # type: ignore
except ImportError:
    _Base = _Folders


class Pretrained(_Base):  # type: ignore[misc]
    """save_pretrained and from_pretrained of a ScoreNet."""

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: str | None = None,
        license: str | None = None,
        **hub: Any,
    ) -> Any:
        """Writes config.json, model.safetensors and README.md, the model card, into a folder.

        Parameters
        ----------
        folder : made where it is missing.
        dtype : of the weights, "float32" (the default) or "float16"; data moments stay float32.
        license : of the model, as its card names it; "unknown" where it is not given.
        hub : further arguments of huggingface_hub's mixin, where that package is there.

        Raises
        ------
        ValueError : for another dtype, and for weights that float16 cannot hold.
        """
        choices = getattr(self, "_export", {})
        self._export = {
            "dtype": dtype or choices.get("dtype", "float32"),
            "license": license or choices.get("license", "unknown"),
        }
        try:
            return super().save_pretrained(folder, **hub)
        finally:
            self._export = choices

    def _save_pretrained(self, save_directory: Path) -> None:
        write_pretrained(self, Path(save_directory), **getattr(self, "_export", {}))

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, map_location: str | torch.device = "cpu", **hub: Any
    ) -> Any:
        """The model of a folder that save_pretrained wrote, in float32.

        Parameters
        ----------
        folder : or, where huggingface_hub is there, a name on the hub.
        map_location : where to put the model.
        hub : further arguments of huggingface_hub's mixin.

        Raises
        ------
        FileNotFoundError, RuntimeError : naming the file, what it must hold and what it holds.
        """
        if Path(folder).is_dir():
            return read_pretrained(cls, Path(folder)).to(map_location)
        return super().from_pretrained(str(folder), map_location=map_location, **hub)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str | torch.device = "cpu",
        **_: Any,
    ) -> Any:
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            model_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        return read_pretrained(cls, Path(folder)).to(map_location)


def write_pretrained(
    net: Any, folder: Path, dtype: str = "float32", license: str = "unknown"
) -> None:
    """The files of `net`; config.json is written last."""
    if dtype not in _TYPES:
        raise fail(
            "nets.ScoreNet.save_pretrained", f'dtype must be float32 or float16; got "{dtype}"'
        )
    tensors = {}
    for name, tensor in net.state_dict().items():
        kept = torch.float32 if name.startswith("data_") else _TYPES[dtype]
        tensors[name] = _narrowed(name, tensor, kept)
    config = {
        "library_name": "scorejet",
        "format": _FORMAT,
        "architectures": ["ScoreNet"],
        "dtype": dtype,
        "model": net.options,
        "sigma_range": list(net.sigma_range) if net.sigma_range else None,
        "details": net.details,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    if net.first is not None:
        write_file(folder / "s1.pt", net.first.data)
    write_file(folder / "README.md", model_card(net, dtype, license))
    write_file(folder / "config.json", json.dumps(config, indent=2) + "\n")


def _narrowed(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    result = tensor.detach().to(device="cpu", dtype=dtype)
    if not bool(torch.isfinite(result).all()):
        largest, kind = float(tensor.abs().max()), str(dtype).removeprefix("torch.")
        raise fail(
            "nets.ScoreNet.save_pretrained",
            f"net must have weights that are finite in {kind}; got {largest:g} in {name}",
        )
    return result


def read_pretrained(kind: Any, folder: Path) -> Any:
    """The model of a folder, of class `kind`."""
    source = folder / "config.json"
    config = read_json(source)
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        got = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise fail_file(source, f'must be of format "{_FORMAT}"; got {got}')
    options, levels = config.get("model"), config.get("sigma_range")
    details = config.get("details") or {}
    if not isinstance(options, dict) or not isinstance(details, dict):
        raise fail_file(source, "model and details must be JSON objects")
    check_details(details, source)
    numbers = levels is None or isinstance(levels, list) and len(levels) == 2
    if not numbers or not all(isinstance(level, int | float) for level in levels or []):
        raise fail_file(source, f"sigma_range must be two numbers or null; got {levels}")
    try:
        net = kind(
            options,
            first=open_given_first({"s1": "", **options}, folder / "s1.pt"),
            sigma_range=tuple(levels) if levels else None,
            details=details,
        )
    except ValueError as error:
        raise fail_file(source, str(error)) from None
    weights = folder / "model.safetensors"
    load_state(net, read_safetensors(weights)[0], str(weights), "")
    return net
