"""Densities with exact scores of every order: what estimates are held against."""

import torch

from . import _convert, _core
from .fields import Field


class Density(Field):
    """A Field that knows its log density and can draw from itself."""

    _core: "_core.Distribution"

    def log_density(self, x: _convert.Array, sigma: _convert.Array) -> torch.Tensor:
        """log p_sigma(x), [B]; differentiable in x."""
        rows = _convert.samples("x", x, self.shape)
        return self._core.log_density(rows, _convert.levels(sigma, rows))

    def sample(self, count: int, *, seed: int = 0, stream: str = "samples") -> torch.Tensor:
        """Clean draws [count, D]; a function of the seed (and the name of its stream) alone."""
        return self._core.sample(count, seed, stream)


def density_names() -> list[str]:
    """The names that `density` takes."""
    return _core.density_names()


def density(name: str) -> Density:
    """The density of that name. Raises ValueError for an unknown one, with the nearest."""
    core = _core.make_density(name)
    return Density(core, (core.dim,))


def gaussian_mixture(
    weights: _convert.Array, means: _convert.Array, covariances: _convert.Array
) -> Density:
    """A mixture of Gaussians: weights [K], means [K, D], covariances [K, D, D]."""
    parts = [
        _convert.tensor(name, value)
        for name, value in (("weights", weights), ("means", means), ("covariances", covariances))
    ]
    core = _core.GaussianMixture(*parts)
    return Density(core, (core.dim,))
