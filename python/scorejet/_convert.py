"""Arrays in: what a user hands over becomes tensors here, in one place and with one wording."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

Array = Any  # a torch.Tensor, a NumPy array, or nested lists of numbers


def tensor(name: str, value: Array) -> torch.Tensor:
    """`value` as a tensor of real numbers, sharing its memory where that can be.

    NumPy arrays with negative strides or that are read-only are copied; integers become float32.
    """
    if isinstance(value, np.ndarray):
        if not value.flags.writeable or any(stride < 0 for stride in value.strides):
            value = value.copy()
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
    try:
        result = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be an array of numbers; got {type(value).__name__} ({error})"
        ) from None
    if result.is_complex():
        raise ValueError(f"{name} must be an array of real numbers; got {result.dtype}")
    if result.dtype not in (torch.float32, torch.float64):
        result = result.to(torch.float32)
    return result


def samples(name: str, value: Array, shape: Sequence[int]) -> torch.Tensor:
    """`value` [B, *shape] or [B, D] as rows [B, D]."""
    x = tensor(name, value)
    dim = math.prod(shape)
    if x.dim() >= 1 and (tuple(x.shape[1:]) == tuple(shape) or tuple(x.shape[1:]) == (dim,)):
        return x.reshape(x.shape[0], dim)
    expected = ", ".join(str(size) for size in shape)
    hint = ""
    if tuple(x.shape) == tuple(shape):
        hint = f"; one sample is {name}[None]"
    raise ValueError(f"{name} must have the shape [B, {expected}]; got {list(x.shape)}{hint}")


def levels(sigma: Array, x: torch.Tensor) -> torch.Tensor:
    """sigma, a number or [B], as a tensor on x's device."""
    result = tensor("sigma", sigma).to(x.device, x.dtype)
    if result.dim() > 1 or (result.dim() == 1 and result.shape[0] != x.shape[0]):
        raise ValueError(f"sigma must be a number or [{x.shape[0]}]; got {list(result.shape)}")
    return result


def one_level(sigma: Array) -> float:
    """sigma as one number."""
    value = tensor("sigma", sigma)
    if value.numel() != 1:
        raise ValueError(f"sigma must be one number here; got {list(value.shape)}")
    result = float(value.double())
    if not (result > 0 and math.isfinite(result)):
        raise ValueError(f"sigma must be positive and finite; got {result:g}")
    return result


def integer(name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`."""
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {type(value).__name__} {value!r}") from None
    if result < least:
        raise ValueError(f"{name} must be at least {least}; got {result}")
    return result


def number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if isinstance(value, str) or not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number; got {value!r}")
    return result
