"""Neighbours' networks, densities and files as scorejet's, and the other way round.

None of them is imported before its adapter is called. A denoiser here is any callable
(x [B, *shape], sigma [B]) -> E[clean | x], x = clean + sigma z. Add an adapter as one function or
small class, with a fake in python/tests/test_adapters.py that has an exact answer.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Any

import torch

from .fields import Field, as_field, field

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _in_range(sigma: torch.Tensor, low: float, high: float, whose: str) -> None:
    if not bool(((sigma >= low) & (sigma <= high)).all()):
        raise ValueError(
            f"sigma must lie in {low:.4g} to {high:.4g}, those of {whose}; got "
            f"{float(sigma.min()):.4g} to {float(sigma.max()):.4g}"
        )


def from_deepinv(denoiser: torch.nn.Module, shape: Sequence[int]) -> Field:
    """A deepinv Denoiser, forward(x, sigma). Refuses one that clips its output: no Jacobian there."""
    if any(getattr(part, "clip_output", False) for part in denoiser.modules()):
        raise ValueError("the denoiser clips its output, where its Jacobian is 0: set clip_output=False")
    return field(lambda x, sigma: denoiser(x, sigma), shape)


class ForDeepinv(torch.nn.Module):
    """A field's posterior mean where deepinv wants a Denoiser: forward(x, sigma)."""

    def __init__(self, source: Any):
        super().__init__()
        self.field = as_field(source)

    def forward(self, x: torch.Tensor, sigma: Any, **_: Any) -> torch.Tensor:
        return self.field.mean(x, torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1)
                               .expand(x.shape[0]))


class FromDiffusers(torch.nn.Module):
    """A UNet2DModel with its DDPM scheduler, of images in [-1, 1], as a denoiser.

    sigma = sqrt((1 - a)/a) with a the scheduler's cumulated alpha; between two of its steps the time
    is linear in ln sigma. Predictions "epsilon", "sample" and "v_prediction".
    """

    log_sigmas: torch.Tensor

    def __init__(self, unet: torch.nn.Module, scheduler: Any):
        super().__init__()
        self.unet = unet
        self.kind = scheduler.config.prediction_type
        if self.kind not in ("epsilon", "sample", "v_prediction"):
            raise ValueError(f"prediction_type must be epsilon, sample or v_prediction; got {self.kind}")
        kept = scheduler.alphas_cumprod.double()
        self.register_buffer("log_sigmas", 0.5 * ((1 - kept) / kept).log())

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        table = self.log_sigmas
        low, high = math.exp(float(table[0])), math.exp(float(table[-1]))
        _in_range(sigma, low, high, "the scheduler")
        wanted = sigma.double().log().to(table.device)
        upper = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
        share = (wanted - table[upper - 1]) / (table[upper] - table[upper - 1])
        level = sigma.reshape(-1, *[1] * (x.dim() - 1))
        scale = (1 + level.square()).rsqrt()
        output = self.unet(scale * x, (upper - 1 + share).to(x.dtype)).sample
        if self.kind == "epsilon":
            return x - level * output
        return output if self.kind == "sample" else scale.square() * x - level * scale * output


def from_edm(net: Any) -> Denoiser:
    """EDMPrecond, or a denoiser of k-diffusion: net(x, sigma) is E[clean | x] already."""
    low, high = float(getattr(net, "sigma_min", 0)), float(getattr(net, "sigma_max", math.inf))

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        _in_range(sigma, low, high, "the network")
        return net(x, sigma)

    return denoiser


def score_of(log_prob: Callable[[torch.Tensor], torch.Tensor]) -> Denoiser:
    """The score of a log density [B, D] -> [B] by autograd, for field(..., predicts="score").

    sbi: score_of(lambda t: posterior.potential(t, track_gradients=True)).
    """

    def score(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        traced = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            point = x if traced else x.detach().requires_grad_()
            total = log_prob(point).sum()
            return torch.autograd.grad(total, point, create_graph=traced)[0]

    return score


class BridgeStan:
    """A Stan model compiled by BridgeStan, as log density, score and exact Hessian.

    On unconstrained parameters, with the Jacobian of their transforms. The score for
    field(model, (model.dim,), predicts="score"), whose second order is the Hessian.
    """

    def __init__(self, library: str | PathLike[str], data: str = "", seed: int = 1):
        self._library = ctypes.CDLL(fspath(library))
        construct = self._library.bs_model_construct
        construct.restype = ctypes.c_void_p
        message = ctypes.c_char_p()
        found = construct(data.encode(), ctypes.c_uint(seed), ctypes.byref(message))
        if not found:
            raise ValueError(f"{library}: {(message.value or b'no model').decode()}")
        self._model = ctypes.c_void_p(found)
        self.dim: int = self._library.bs_param_unc_num(self._model)

    def _call(self, name: str, x: torch.Tensor, *outputs: torch.Tensor) -> torch.Tensor:
        rows = x.detach().to("cpu", torch.float64).contiguous()
        values = torch.empty(len(rows), dtype=torch.float64)
        true, message = ctypes.c_bool(True), ctypes.c_char_p()
        for i, row in enumerate(rows):
            pointers = [ctypes.c_void_p(out[i].data_ptr()) for out in (values, *outputs)]
            failed = getattr(self._library, name)(
                self._model, true, true, ctypes.c_void_p(row.data_ptr()), *pointers,
                ctypes.byref(message),
            )
            if failed:
                raise ValueError(f"row {i}: {(message.value or b'BridgeStan failed').decode()}")
        return values

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        """[B]."""
        return self._call("bs_log_density", x)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        score = torch.empty(x.shape, dtype=torch.float64)
        self._call("bs_log_density_gradient", x, score)
        return score.to(x)

    def second_order(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The Hessian [B, D, D]."""
        score = torch.empty(x.shape, dtype=torch.float64)
        hessian = torch.empty(*x.shape, x.shape[1], dtype=torch.float64)
        self._call("bs_log_density_hessian", x, score, hessian)
        return hessian.to(x)


def to_arviz(chains: Any, name: str = "x") -> Any:
    """Chains as an xarray DataTree of ArviZ 1.x (`.to_netcdf(file)` writes it).

    Diverged chains are left out, and said in the attributes.
    """
    from arviz_base import from_dict

    kept = chains.diverged_at < 0
    draws = chains.positions[kept][:, 1:].cpu().numpy()
    groups: dict[str, Any] = {"posterior": {name: draws}}
    if chains.acceptance is not None:
        rate = chains.acceptance[kept].cpu().numpy()
        groups["sample_stats"] = {"acceptance_rate": rate[:, None].repeat(draws.shape[1], 1)}
    tree = from_dict(groups)
    tree.attrs["inference_library"] = "scorejet"
    tree.attrs["diverged_chains"] = int((~kept).sum())
    return tree
