"""What x and sigma of a net must be, and what is said of ones that are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from scorejet._options import fail

_is_tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore
_is_compiling: Callable[[], bool] = getattr(
    getattr(torch, "compiler", None), "is_compiling", lambda: False
)
_is_transformed: Callable[[Tensor], bool] = getattr(
    getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", lambda tensor: False
)


def check_arguments(where: str, x: Any, sigma: Any, shape: list[int], model: Tensor) -> None:
    """Refuses an x that is not [B, *shape] of the model's type and device, and a bad sigma.

    Values are looked at too, except while PyTorch compiles and in its transforms; a trace records
    no check.

    Raises
    ------
    ValueError : naming x or sigma, what it must be and what it is.
    """
    if _is_tracing():
        return
    if not isinstance(x, Tensor):
        raise fail(where, f"x must be a tensor; got {type(x).__name__}")
    if x.dim() < 2 or list(x.shape[1:]) != shape:
        wanted = ", ".join(["B", *map(str, shape)])
        raise fail(where, f"x must have shape [{wanted}]; got {list(x.shape)}")
    if x.shape[0] == 0:
        raise fail(where, f"x must hold at least one sample; got {list(x.shape)}")
    if x.dtype != model.dtype:
        raise fail(where, f"x must have the model's dtype {model.dtype}; got {x.dtype}")
    if x.device != model.device:
        raise fail(where, f"x must be on the model's device {model.device}; got {x.device}")
    if isinstance(sigma, Tensor):
        _check_levels(where, x, sigma)
    elif isinstance(sigma, bool) or not isinstance(sigma, Real):
        raise fail(where, f"sigma must be a number or a tensor; got {type(sigma).__name__}")
    elif not _is_compiling() and not 0 < float(sigma) < math.inf:
        raise fail(where, f"sigma must be positive and finite; got {sigma}")
    if _has_values(x) and not bool(torch.isfinite(x).all()):
        raise fail(where, "x must be finite; got NaN or infinities")


def _check_levels(where: str, x: Tensor, sigma: Tensor) -> None:
    if sigma.shape not in ((), x.shape[:1]):
        raise fail(where, f"sigma must have shape [] or [{x.shape[0]}]; got {list(sigma.shape)}")
    if not sigma.dtype.is_floating_point:
        raise fail(where, f"sigma must have a real dtype; got {sigma.dtype}")
    if sigma.dim() > 0 and sigma.device != x.device:
        raise fail(where, f"sigma must be on x's device {x.device}; got {sigma.device}")
    if not _has_values(sigma):
        return
    good = (sigma > 0) & torch.isfinite(sigma)
    if not bool(good.all()):
        got = float(sigma[~good][0])
        raise fail(where, f"sigma must be positive and finite; got {got:g}")


def _has_values(tensor: Tensor) -> bool:
    return not (_is_compiling() or tensor.is_meta or _is_transformed(tensor))
