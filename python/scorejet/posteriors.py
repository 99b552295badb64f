"""Posteriors of the clean sample given a noisy one, their components, calibration, noise levels."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from . import _convert, _core
from .fields import Field, SymmetricOperator, as_field

Covariance = Literal["auto", "learned", "exact"]


class Posterior:
    """The Gaussian posterior N(mean, covariance) of the clean x, a batch of them.

    What is a sum over coordinates (log_prob, entropy, mahalanobis) is float64.
    """

    def __init__(self, gaussian: "_core.Gaussian", shape: Sequence[int], sigma: torch.Tensor):
        self._gaussian = gaussian
        self.shape = tuple(shape)
        self.sigma = sigma

    def _image(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.reshape(rows.shape[0], *self.shape)

    @property
    def mean(self) -> torch.Tensor:
        """[B, *shape]."""
        return self._image(self._gaussian.mean)

    @property
    def variance(self) -> torch.Tensor:
        """[B, *shape], never clipped: a free parameterisation may have negative ones."""
        return self._image(self._gaussian.variance)

    @property
    def std(self) -> torch.Tensor:
        """[B, *shape]. Raises ValueError for a negative variance, naming the row."""
        return self._image(self._gaussian.standard_deviation())

    @property
    def covariance(self) -> SymmetricOperator:
        return SymmetricOperator(self._gaussian.covariance, self.shape)

    def interval(self, level: float = 0.9) -> tuple[torch.Tensor, torch.Tensor]:
        """The central interval of each coordinate that holds it with probability `level`."""
        lower, upper = self._gaussian.interval(_convert.number("level", level))
        return self._image(lower), self._image(upper)

    def sample(self, count: int = 1, *, seed: int = 0, first_row: int = 0) -> torch.Tensor:
        """Draws [B, count, *shape]; row i draws by (seed, first_row + i)."""
        count = _convert.integer("count", count)
        draws = self._gaussian.sample(
            count, _convert.integer("seed", seed), _convert.integer("first_row", first_row)
        )
        return draws.reshape(draws.shape[0], count, *self.shape)

    def log_prob(self, clean: _convert.Array) -> torch.Tensor:
        """log N(clean; mean, covariance), [B], in nats."""
        return self._gaussian.log_likelihood(_convert.samples("clean", clean, self.shape))

    def mahalanobis(self, clean: _convert.Array) -> torch.Tensor:
        """The squared distance over D, [B]: 1 on average where the posterior is right."""
        rows = _convert.samples("clean", clean, self.shape)
        return self._gaussian.mahalanobis_squared(rows) / rows.shape[1]

    def crps(self, clean: _convert.Array) -> torch.Tensor:
        """The continuous ranked probability score of each coordinate, in units of x."""
        return self._image(self._gaussian.crps(_convert.samples("clean", clean, self.shape)))

    def entropy(self) -> torch.Tensor:
        """[B], in nats."""
        return self._gaussian.entropy()

    def components(self, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
        """The leading eigenvalues [B, K] and eigenvectors [B, K, *shape] of the covariance."""
        return self.covariance.eigh(count)

    def region(self, mask: _convert.Array) -> "Posterior":
        """The posterior of some coordinates alone.

        mask: bool, of the sample's shape, or [H, W] for every channel; or indices [m] (int64) of the
        flat sample, in the order wanted.
        """
        indices = _indices(mask, self.shape)
        return Posterior(self._gaussian.region(indices), (indices.numel(),), self.sigma)

    def scaled(self, temperature: float) -> "Posterior":
        """The same mean, every covariance times `temperature` (as `calibrate` fits it)."""
        return Posterior(self._gaussian.scaled(float(temperature)), self.shape, self.sigma)

    def __len__(self) -> int:
        return self._gaussian.mean.shape[0]

    def __repr__(self) -> str:
        spread = self._gaussian.variance.clamp_min(0).mean(1).sqrt()
        shown = ", ".join(f"{float(s):.3g}" for s in spread[:4])
        more = ", ..." if len(self) > 4 else ""
        return f"Posterior({len(self)} of shape {self.shape}, root mean variance {shown}{more})"

    def plot(self, row: int = 0) -> Any:
        """Mean and standard deviation of one image (needs matplotlib); returns the figure."""
        return _plot_images(
            {"mean": self.mean[row], "standard deviation": self.std[row]}, self.shape
        )


def _indices(mask: _convert.Array, shape: Sequence[int]) -> torch.Tensor:
    found = torch.as_tensor(mask)
    if found.dtype == torch.bool:
        if len(shape) == 3 and tuple(found.shape) == tuple(shape[1:]):
            found = found.expand(tuple(shape))
        if found.numel() != math.prod(shape):
            raise ValueError(f"mask must have the shape {list(shape)}; got {list(found.shape)}")
        return found.reshape(-1).nonzero().reshape(-1)
    flat = found.to(torch.int64).reshape(-1)
    if flat.numel() != flat.unique().numel():
        raise ValueError("region must be a bool mask, or distinct indices; got some twice (mask.bool()?)")
    return flat


def _plot_images(images: dict[str, torch.Tensor], shape: Sequence[int]) -> Any:
    if len(shape) != 3:
        raise ValueError(f"plot needs images [C, H, W]; these samples have the shape {tuple(shape)}")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(images), figsize=(3 * len(images), 3), squeeze=False)
    for axis, (title, image) in zip(axes[0], images.items(), strict=True):
        pixels = image.detach().cpu().permute(1, 2, 0)
        axis.imshow(pixels[..., 0] if shape[0] == 1 else pixels.clamp(0, 1), cmap="gray")
        axis.set_title(title)
        axis.axis("off")
    return figure


def posterior(
    field: Any, x: _convert.Array, sigma: _convert.Array, *, covariance: Covariance = "auto"
) -> Posterior:
    """The Gaussian posterior of the clean samples, given noisy x [B, *shape] at sigma (Tweedie).

    covariance: "learned", the field's own second order; "exact", the symmetric part of the Jacobian
    of its score, by D backward passes a row; "auto", the first where there is one. Raises ValueError
    where neither can be had: `components` needs no matrix.
    """
    field = as_field(field)
    rows = field.rows("x", x)
    noise = field.levels(sigma, rows)
    core = field._core
    if covariance not in ("auto", "learned", "exact"):
        raise ValueError(f'covariance must be auto, learned or exact; got "{covariance}"')
    if covariance == "exact" or (covariance == "auto" and field.max_order < 2):
        if _core.exact_bytes(rows.shape[1]) * max(1, rows.shape[0]) > _core.MAX_EXACT_BYTES:
            raise ValueError(
                f"an exact covariance of {rows.shape[0]} samples of {rows.shape[1]} numbers needs "
                f"more than {_core.MAX_EXACT_BYTES >> 20} MiB: use components(), which makes no matrix, "
                "or fewer samples at a time"
            )
        if rows.shape[0] > 0:
            field.check(rows, float(noise.reshape(-1)[0].double()), True)
        core = _core.AutodiffField(core)
    elif field.max_order < 2:
        raise ValueError('covariance="learned" needs a field with a second order; got order 1')
    return Posterior(_core.gaussian_posterior(core, rows, noise), field.shape, noise)


@dataclass(frozen=True)
class Components:
    """Leading principal components of the posterior covariance.

    values [B, K]: variances, descending. vectors [B, K, *shape] (or [B, K, m] of a region): unit
    length. residual: largest |C v - lambda v| against the row's largest variance. evaluations: passes
    of the network a row. difference_error: of forward_only, how far two step sizes differed.
    """

    values: torch.Tensor
    vectors: torch.Tensor
    residual: float
    evaluations: int
    converged: bool
    difference_error: float = 0.0

    def __repr__(self) -> str:
        shown = "converged" if self.converged else "not converged"
        return (
            f"Components({self.values.shape[1]} of {self.values.shape[0]} samples, {shown}, residual "
            f"{self.residual:.2g}, {self.evaluations} passes)"
        )

    def plot(self, row: int = 0) -> Any:
        """The components of one image (needs matplotlib); returns the figure."""
        images = {
            f"sd {float(self.values[row, k].clamp_min(0).sqrt()):.3g}": self.vectors[row, k]
            for k in range(self.values.shape[1])
        }
        return _plot_images(images, self.vectors.shape[2:])


def components(
    field: Any,
    x: _convert.Array,
    sigma: _convert.Array,
    *,
    count: int = 3,
    region: _convert.Array | None = None,
    tolerance: float | None = None,
    max_iterations: int = 100,
    direct: bool = True,
    max_points: int = 64,
    forward_only: bool = False,
) -> Components:
    """The `count` leading eigenpairs of Cov[clean | x] at each x (Manor, Michaeli 2024).

    From the field's second order where it has one and `direct`; else by block Krylov iteration on
    exact Jacobian products; with forward_only by central differences, for a callable that autograd
    cannot differentiate: then J is known to a few digits, and the tolerance is 1e-2 (else 1e-4).
    region: a mask or indices, as `Posterior.region`. max_points bounds the memory: rows times
    vectors traced at once. Warns where the tolerance was not met.
    """
    field = as_field(field)
    rows = field.rows("x", x)
    noise = field.levels(sigma, rows)
    indices = None if region is None else _indices(region, field.shape)
    own = direct and field.max_order >= 2 and not forward_only
    if not own and rows.shape[0] > 0:
        field.check(rows, float(noise.reshape(-1)[0].double()), not forward_only)
    if tolerance is None:
        tolerance = 1e-2 if forward_only else 1e-4
    found = _core.components(
        field._core,
        rows,
        noise,
        _convert.integer("count", count, 1),
        indices,
        _convert.number("tolerance", tolerance),
        _convert.integer("max_iterations", max_iterations, 1),
        own,
        _convert.integer("max_points", max_points, 1),
        forward_only,
    )
    if not found.converged:
        warnings.warn(
            f"components reached a residual of {found.residual:.2g}, not {tolerance:.2g}",
            stacklevel=2,
        )
    if bool((found.values < 0).any()):
        warnings.warn(
            f"components found variances below 0 (the least {float(found.values.min()):.3g}): the "
            "field is not the score of a density, or predicts something else than was said",
            stacklevel=2,
        )
    vectors = found.vectors
    if region is None:
        vectors = vectors.reshape(*vectors.shape[:2], *field.shape)
    return Components(
        found.values,
        vectors,
        found.residual,
        found.evaluations,
        found.converged,
        found.difference_error,
    )


@dataclass(frozen=True)
class Denoised:
    """What `denoise` found; tensors are None where they were not asked for."""

    mean: torch.Tensor
    std: torch.Tensor | None
    eigenvalues: torch.Tensor | None
    components: torch.Tensor | None
    samples: torch.Tensor | None

    def __repr__(self) -> str:
        parts = [name for name in ("std", "components", "samples") if getattr(self, name) is not None]
        return f"Denoised({self.mean.shape[0]} samples; mean{''.join(', ' + p for p in parts)})"


def denoise(
    field: Any,
    x: _convert.Array,
    sigma: float,
    *,
    components: int = 0,
    samples: int = 0,
    seed: int = 0,
    temperature: float = 1.0,
    covariance: Literal["auto", "learned", "subspace", "exact"] = "auto",
) -> Denoised:
    """Denoises x [B, *shape] at one noise level, in blocks of rows; results are on the CPU.

    What `scorejet denoise` computes: mean, standard deviations, `components` leading components and
    `samples` posterior draws (row i by (seed, i)). A field without second order gives the mean, or
    with covariance="subspace" the mean and components. Ctrl-C ends it between blocks.
    """
    field = as_field(field)
    rows = field.rows("x", x)
    field.levels(sigma, rows)
    chosen = covariance
    if covariance == "auto":
        chosen = "learned" if field.max_order >= 2 or components == 0 else "subspace"
    found = _core.denoise(
        field._core,
        rows,
        _convert.one_level(sigma),
        chosen,
        _convert.integer("components", components),
        _convert.integer("samples", samples),
        _convert.integer("seed", seed),
        _convert.number("temperature", temperature),
    )

    def image(value: torch.Tensor | None, leading: int = 1) -> torch.Tensor | None:
        if value is None or value.numel() == 0:
            return None
        return value.reshape(*value.shape[:leading], *field.shape)

    mean = found.mean.reshape(-1, *field.shape)
    variance = image(found.variance)
    std = None if variance is None else variance.sqrt()  # NaN where it is negative, as the command
    eigenvalues = found.eigenvalues if components > 0 else None
    return Denoised(mean, std, eigenvalues, image(found.components, 2), image(found.samples, 2))


def calibrate(
    field: Any,
    fit: _convert.Array,
    test: _convert.Array,
    sigma: float,
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
    components: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Fits a field's error bars at one sigma on clean samples `fit`, measures them on `test`.

    Returns what calibration.json has for one sigma: temperature, widths, and the figures without
    ("raw") and with ("calibrated") the correction. `Posterior.scaled(result["temperature"])` applies
    it.
    """
    field = as_field(field)
    return _core.calibrate(
        field._core,
        field.rows("fit", fit),
        field.rows("test", test),
        _convert.one_level(sigma),
        [float(level) for level in levels],
        min(_convert.integer("components", components), math.prod(field.shape)),
        _convert.integer("seed", seed),
    )


def estimate_noise(image: _convert.Array) -> float:
    """The standard deviation of white noise in an image [C, H, W] or [H, W] (Chen et al. 2015)."""
    pixels = _convert.tensor("image", image)
    if pixels.dim() == 2:
        pixels = pixels[None]
    if pixels.dim() != 3:
        raise ValueError(f"image must have the shape [C, H, W] or [H, W]; got {list(pixels.shape)}")
    return _core.estimate_noise(pixels)


__all__ = ["Components", "Denoised", "Field", "Posterior"]
