"""A first-order score that a run was given as a TorchScript file and did not learn."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorejet._files import fail_file

_jit: Any = torch.jit


class GivenFirst(nn.Module):
    """s1 of a TorchScript file with forward(x) or forward(x, sigma): frozen, differentiable in x.

    Parameters
    ----------
    data : the file.
    predicts : what it returns: "score", "clean" or "noise".
    shape : of one sample, as the file's network takes it.
    """

    def __init__(self, data: bytes, predicts: str, shape: list[int]) -> None:
        super().__init__()
        self.data, self.predicts, self.shape = data, predicts, list(shape)
        self._open()

    def _open(self) -> None:
        script = _jit.load(io.BytesIO(self.data), map_location="cpu").eval()
        for tensor in [*script.parameters(), *script.buffers()]:
            tensor.requires_grad_(False)
            if tensor.dtype in (torch.float16, torch.bfloat16):
                tensor.data = tensor.data.float()
        self.takes_sigma = len(script.forward.schema.arguments) == 3
        self._script = (script,)  # in a tuple: no part of the state dict

    def _apply(self, move: Callable[..., Any], *rest: Any) -> GivenFirst:
        self._script[0]._apply(move)
        super()._apply(move, *rest)  # type: ignore[no-untyped-call]
        return self

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """s1 [B, D] at x [B, D] and sigma [B]."""
        script = self._script[0]
        dtype = next((p.dtype for p in script.parameters()), x.dtype)
        arguments = [x.reshape(-1, *self.shape).to(dtype, copy=True)]
        if self.takes_sigma:
            arguments.append(sigma.to(dtype, copy=True).contiguous())
        with _jit.optimized_execution(False):
            returned = script(*arguments)
        output: Tensor = returned.reshape(x.shape).to(x.dtype)
        if self.predicts == "clean":
            return (output - x) / sigma.square().unsqueeze(-1)
        return output if self.predicts == "score" else -output / sigma.unsqueeze(-1)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_script"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._open()


def open_given_first(options: dict[str, Any], path: Path) -> GivenFirst | None:
    """The s1 that options name ("clean MD5"), from `path`; None where s1 is learned.

    Raises
    ------
    RuntimeError : for a file that is missing or another one than the run was trained on.
    """
    if not options["s1"]:
        return None
    if not path.is_file():
        raise fail_file(path, f"must be the s1 that the run was given, {options['s1']}; no file")
    predicts, data = options["s1"].split(" ")[0], path.read_bytes()
    name = f"{predicts} {hashlib.md5(data, usedforsecurity=False).hexdigest()}"
    if name != options["s1"]:
        raise fail_file(path, f'must be the s1 that the run was given, {options["s1"]}; got {name}')
    shape = options["image_shape"] or [options["dim"]]
    assert math.prod(shape) == options["dim"]
    return GivenFirst(data, predicts, shape)
