"""What gives scores: any callable, a model, a density. Everything else takes a Field."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from . import _convert, _core

Predicts = Literal["clean", "noise", "score"]


class SymmetricOperator:
    """A batch of symmetric matrices [B, D, D], dense, diagonal, or diagonal plus low rank.

    Nothing of size D x D is made unless it is dense or `dense()` is called.
    """

    def __init__(self, operator: "_core.SymmetricOperator", shape: Sequence[int]):
        self._operator = operator
        self.sample_shape = tuple(shape)

    @property
    def structure(self) -> str:
        """"dense", "diagonal" or "low_rank"."""
        return self._operator.structure

    def __matmul__(self, v: _convert.Array) -> torch.Tensor:
        """A v for v [B, *shape]."""
        rows = _convert.samples("v", v, self.sample_shape)
        return self._operator.apply(rows).reshape(-1, *self.sample_shape)

    def diagonal(self) -> torch.Tensor:
        """[B, *shape]."""
        return self._operator.diagonal().reshape(-1, *self.sample_shape)

    def trace(self) -> torch.Tensor:
        """[B]."""
        return self._operator.trace()

    def dense(self) -> torch.Tensor:
        """[B, D, D]."""
        return self._operator.dense()

    def eigh(self, count: int, *, tolerance: float = 1e-5) -> tuple[torch.Tensor, torch.Tensor]:
        """The `count` largest eigenvalues [B, K], descending, and eigenvectors [B, K, *shape].

        Lanczos where the structure is low rank. `tolerance`: residual against the largest
        eigenvalue; a warning says where it was not met.
        """
        values, vectors, residual, converged = self._operator.eigh(count, tolerance)
        if not converged:
            warnings.warn(f"eigh reached a residual of {residual:.2g}, not {tolerance:.2g}", stacklevel=2)
        return values, vectors.reshape(*vectors.shape[:2], *self.sample_shape)

    def __repr__(self) -> str:
        return f"SymmetricOperator({self.structure}, batch {self._operator.batch}, D {self._operator.dim})"


class Field:
    """The score of p_sigma, the density of clean data plus noise, and its Hessian where known.

    Made by `field`, `load` and `density`. `shape` is that of one sample, `max_order` the highest
    order of scores that it knows without differentiating.
    """

    def __init__(
        self,
        core: "_core.ScoreField",
        shape: Sequence[int],
        dtype: torch.dtype | None = None,
        trained: tuple[float, float] | None = None,
    ):
        self._core = core
        self._dtype = dtype  # of a network's parameters: x is taken in it
        self._trained = trained  # noise levels that a network was trained on
        self._checked: set[tuple[float, bool]] = set()
        self.shape = tuple(int(size) for size in shape)

    @property
    def max_order(self) -> int:
        return self._core.max_order

    def rows(self, name: str, x: _convert.Array) -> torch.Tensor:
        """x [B, *shape] as [B, D], in the type of the network's parameters where it has some."""
        rows = _convert.samples(name, x, self.shape)
        return rows if self._dtype is None else rows.to(self._dtype)

    def levels(self, sigma: _convert.Array, rows: torch.Tensor) -> torch.Tensor:
        """sigma as a tensor; warns of one that the network was not trained for."""
        noise = _convert.levels(sigma, rows)
        if self._trained is not None and noise.numel() > 0:
            low, high = self._trained
            least, most = float(noise.min()), float(noise.max())
            if least < low * (1 - 1e-6) or most > high * (1 + 1e-6):
                known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                outside = least if least < low * (1 - 1e-6) else most
                warnings.warn(
                    f"sigma = {outside:g} lies outside what the network was trained on: {known}",
                    stacklevel=4,
                )
        return noise

    def score(self, x: _convert.Array, sigma: _convert.Array) -> torch.Tensor:
        """s1 = grad log p_sigma at x [B, *shape]; differentiable in x."""
        rows = self.rows("x", x)
        return self._core.score(rows, self.levels(sigma, rows)).reshape(-1, *self.shape)

    def mean(self, x: _convert.Array, sigma: _convert.Array) -> torch.Tensor:
        """E[clean | x] = x + sigma^2 s1 (Tweedie); differentiable in x."""
        rows = self.rows("x", x)
        noise = self.levels(sigma, rows)
        s1 = self._core.score(rows, noise)
        return (rows + noise.reshape(-1, 1).square() * s1).reshape(-1, *self.shape)

    def covariance(self, x: _convert.Array, sigma: _convert.Array) -> SymmetricOperator:
        """Cov[clean | x] = sigma^2 I + sigma^4 s2 (Tweedie).

        Raises ValueError where the field has no second order: `posterior(..., covariance="exact")`
        differentiates it, `components` needs no matrix.
        """
        rows = self.rows("x", x)
        noise = self.levels(sigma, rows).expand(rows.shape[0])
        if self.max_order < 2:
            raise ValueError(
                "covariance needs a field with a second order; got order 1 "
                '(posterior(..., covariance="exact") and components() differentiate it)'
            )
        s2 = self._core.second_order(rows, noise)
        return SymmetricOperator(s2.affine(noise.square(), noise.pow(4)), self.shape)

    def check(self, x: torch.Tensor, sigma: float, derivative: bool) -> None:
        """Tries the field once on two rows before long work; warns of what would be wrong."""
        key = (sigma, derivative)
        if key in self._checked or x.shape[0] == 0:
            return
        found = _core.probe(self._core, x, sigma, derivative)
        if found:
            raise ValueError(f"this field cannot be relied on: {found}")
        self._checked.add(key)

    def __repr__(self) -> str:
        kind = type(self._core).__name__
        return f"Field({kind}, shape {self.shape}, order {self.max_order})"


def field(
    f: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    shape: Sequence[int],
    *,
    predicts: Predicts = "clean",
    sigma_range: tuple[float, float] = (0.0, math.inf),
) -> Field:
    """Any callable f(x, sigma) as a Field.

    f takes x [B, *shape] and sigma [B] (in the type of its parameters, where it is a module) and returns x's shape: E[clean | x] ("clean"), E[noise | x]
    with x = clean + sigma noise ("noise"), or the score. Put a module into .eval() first. Products
    with its Jacobian are exact, by autograd; a callable without a backward pass can still have
    `components(..., forward_only=True)`.

    Raises ValueError for a shape, a `predicts` or a range that makes no sense; what f does wrong is
    said when it is called: another shape, type or device, an input changed in place, no graph where
    one is needed. Exceptions of f itself pass through.
    """
    if not callable(f):
        raise TypeError(f"f must be callable; got {type(f).__name__}")
    low, high = (float(value) for value in sigma_range)
    if not 0 <= low < high:
        raise ValueError(f"sigma_range must be (low, high) with 0 <= low < high; got {sigma_range}")
    if isinstance(shape, int) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"shape must be that of one sample, like (1, 28, 28); got {shape!r}")
    sizes = list(shape)
    bounded = high if math.isfinite(high) else 0.0
    has_second = hasattr(f, "second_order") and callable(f.second_order)
    callee: Any = _WithSecondOrder(f) if has_second else f
    core = _core.CallableField(callee, sizes, predicts, low, bounded, has_second)
    return Field(core, sizes, _parameter_type(f))


def _parameter_type(f: Any) -> torch.dtype | None:
    """The type of a module's parameters; None for other callables and modules without any."""
    if not isinstance(f, torch.nn.Module):
        return None
    kinds = [p.dtype for p in f.parameters() if p.dtype in (torch.float32, torch.float64)]
    return kinds[0] if kinds else None


class _WithSecondOrder:
    """A callable with a second order, as _core takes it: both for one pass where that can be."""

    def __init__(self, f: Any):
        self._f = f

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self._f(x, sigma)

    def both(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, Any]:
        if hasattr(self._f, "jet"):  # a model of scorejet.nets
            jet = self._f.jet(x, sigma, 2)
            level = sigma.reshape(-1, *[1] * (x.dim() - 1))
            return x + level.square() * jet.s1, _as_operator(jet.s2)
        return self._f(x, sigma), _as_operator(self._f.second_order(x, sigma))


def _as_operator(parts: Any) -> "_core.SymmetricOperator":
    if isinstance(parts, SymmetricOperator):
        return parts._operator
    if isinstance(parts, torch.Tensor):
        return _core.SymmetricOperator.from_dense(parts)
    if getattr(parts, "matrix", None) is not None:
        return _core.SymmetricOperator.from_dense(parts.matrix)
    if getattr(parts, "factor", None) is not None:
        return _core.SymmetricOperator.from_low_rank(parts.diagonal, parts.factor)
    return _core.SymmetricOperator.from_diagonal(parts.diagonal)


def as_field(value: Any) -> Field:
    """`value` where it is a Field; a model of scorejet.nets as one."""
    if isinstance(value, Field):
        return value
    if hasattr(value, "second_order") and hasattr(value, "sample_shape"):
        result = field(value, value.sample_shape)
        result._trained = getattr(value, "sigma_range", None)
        return result
    raise TypeError(
        f"field must be a scorejet.Field; got {type(value).__name__} "
        "(scorejet.field(f, shape) makes one of any callable)"
    )
