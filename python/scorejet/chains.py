"""Markov chains on p_sigma by any of the kernels, and what their draws are worth."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from . import _convert, _core
from .fields import as_field


def kernels() -> dict[str, str]:
    """The kernels by name, each with one line of what it does and costs."""
    return {row["name"]: row["law"] for row in _core.kernels()}


@dataclass(frozen=True)
class Chains:
    """Kept positions [C, K, *shape], the first where the warm-up ended, and how they came about.

    acceptance [C] (None for unadjusted kernels); diverged_at [C]: the step at which a chain was
    stopped, or -1; interrupted: Ctrl-C ended it, what was done is kept.
    """

    positions: torch.Tensor
    steps: torch.Tensor
    acceptance: torch.Tensor | None
    diverged_at: torch.Tensor
    step_size: torch.Tensor
    num_evaluations: int
    interrupted: bool = False

    def _draws(self, burn_in: float) -> torch.Tensor:
        if not 0 <= burn_in < 1:
            raise ValueError(f"burn_in must be at least 0 and below 1; got {burn_in}")
        kept = self.positions[self.diverged_at < 0]
        first = max(1, int(burn_in * kept.shape[1])) if kept.shape[1] > 1 else 0
        return kept[:, first:]

    def summary(self, *, burn_in: float = 0.1) -> dict[str, torch.Tensor]:
        """Mean, sd, R-hat, bulk and tail ESS, autocorrelation time and Monte Carlo error, [*shape].

        Of the chains that did not diverge, less the first part of each. See Vehtari et al. 2021.
        """
        draws = self._draws(burn_in)
        shape = self.positions.shape[2:]
        found = _core.summarise(draws.reshape(*draws.shape[:2], -1))
        return {name: value.reshape(shape) for name, value in found.items()}

    def autocorrelation(self, max_lag: int, *, burn_in: float = 0.1) -> torch.Tensor:
        """[D, max_lag + 1]."""
        draws = self._draws(burn_in)
        return _core.autocorrelation(draws.reshape(*draws.shape[:2], -1), max_lag)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes chains.npz, which `scorejet diagnose` reads."""
        rows = self.positions.reshape(*self.positions.shape[:2], -1)
        arrays = {
            "positions": rows,
            "steps": self.steps,
            "diverged_at": self.diverged_at,
            "step_size": self.step_size,
            "evaluations": torch.tensor([self.num_evaluations]),
        }
        if self.acceptance is not None:
            arrays["acceptance"] = self.acceptance
        rows_by_name: dict[str, Any] = {k: v.detach().cpu().numpy() for k, v in arrays.items()}
        np.savez_compressed(path, **rows_by_name)

    def __repr__(self) -> str:
        count, kept = self.positions.shape[:2]
        stopped = int((self.diverged_at >= 0).sum())
        return (
            f"Chains({count} of {kept} positions{f', {stopped} diverged' if stopped else ''}"
            f"{', interrupted' if self.interrupted else ''})"
        )


def sample(
    field: Any,
    x0: _convert.Array,
    sigma: float,
    *,
    kernel: str = "ozaki",
    step_size: float | None = None,
    steps: int = 100,
    warmup: int = 0,
    thin: int = 1,
    seed: int = 0,
    options: dict[str, float] | None = None,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> Chains:
    """Runs chains of a kernel from x0 [C, *shape] on p_sigma.

    step_size: in squared units of x; None: the kernel's own for this sigma; adjusted kernels adapt it
    in the warm-up. options: of the kernel (`kernels` names them). Chain c draws by (seed, c) alone.
    callback(step, positions) after each step. Ctrl-C keeps what is done and says so. Raises
    ValueError for a kernel that needs an order, or a log density, that the field has not.
    """
    field = as_field(field)
    rows = field.rows("x0", x0)
    level = _convert.one_level(sigma)
    field.levels(sigma, rows)
    if step_size is not None and not _convert.number("step_size", step_size) > 0:
        raise ValueError(f"step_size must be positive; got {step_size}")
    shaped = None
    if callback is not None:
        def shaped(step: int, positions: torch.Tensor) -> None:
            callback(step, positions.reshape(-1, *field.shape))

    result, interrupted = _core.sample(
        field._core,
        field._core if field._core.has_log_density else None,
        rows,
        level,
        kernel,
        dict(options or {}),
        step_size or 0.0,
        _convert.integer("steps", steps, 1),
        _convert.integer("warmup", warmup),
        _convert.integer("thin", thin, 1),
        _convert.integer("seed", seed),
        shaped,
    )
    said = result.describe_stopped()
    if said:
        warnings.warn(said, stacklevel=2)
    if interrupted:
        warnings.warn(
            f"interrupted; {result.positions.shape[1]} positions of each chain are kept", stacklevel=2
        )
    acceptance = result.acceptance
    return Chains(
        result.positions.reshape(*result.positions.shape[:2], *field.shape),
        result.steps,
        acceptance,
        result.stopped_at,
        result.step_size,
        result.num_evaluations,
        interrupted,
    )
