"""Trained scores as plain PyTorch modules: no compiled part is needed here.

`load` reads a run, `ScoreNet` is the model, `save_run_weights` puts weights trained further back.
Change how raw network outputs become scores in ScoreNet, together with src/models/score_model.cc.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scorejet._checks import check_arguments
from scorejet._given import GivenFirst, open_given_first
from scorejet._layers import symmetric_index
from scorejet._mlp import MLP
from scorejet._options import complete_options, fail, load_state, make_network
from scorejet._orders import Jet, SecondOrder, ThirdOrder
from scorejet._pretrained import Pretrained
from scorejet._runs import (
    describe_training,
    read_checkpoint,
    read_config,
    replace_weights,
    trained_range,
)
from scorejet._unet import UNet

__all__ = [
    "MLP",
    "Jet",
    "ScoreNet",
    "SecondOrder",
    "ThirdOrder",
    "UNet",
    "load",
    "save_run_weights",
]

_VARIANCE_FLOOR = 1e-5
_FACTOR_BOUND = 4.0
_SOFTPLUS_ONE = 0.54132485  # ln(e - 1): softplus of it is 1


class ScoreNet(nn.Module, Pretrained):
    """A network with its preconditioning: the scores of orders one to three of noisy data.

    Called as a module it is a denoiser, net(x, sigma) = E[clean | x] = x + sigma^2 s1.

    Parameters
    ----------
    options : what describes the model, as `net.options` and config.json hold it; those left out
        have their defaults. `{"dim": 5}` or `{"image_shape": [1, 28, 28]}` is the least.
    data_mean, data_variance : [D], of the training data; 0 and 1 where they are not given.
    first : the s1 that the model was given; None where it learns one.
    sigma_range : the least and the largest noise level that it was trained on, where known.
    details : what a model card says of its training.

    Attributes
    ----------
    options, sigma_range, details : as above.
    sample_shape : of one sample: [D], or [C, H, W].
    max_order : the highest order that it has.

    Raises
    ------
    ValueError : naming the option, what it must be and what it is.

    Examples
    --------
    >>> import torch
    >>> net = ScoreNet({"dim": 3, "width": 8, "rank": 2})
    >>> x = torch.zeros(4, 3)
    >>> net(x, 0.5).shape, net.second_order(x, 0.5).factor.shape
    (torch.Size([4, 3]), torch.Size([4, 3, 2]))
    """

    data_mean: Tensor
    data_variance: Tensor
    third_index: Tensor

    def __init__(
        self,
        options: Mapping[str, Any],
        data_mean: Tensor | None = None,
        data_variance: Tensor | None = None,
        first: GivenFirst | None = None,
        *,
        sigma_range: tuple[float, float] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.options = complete_options(options)
        dim = self.options["dim"]
        if (first is None) != (not self.options["s1"]):
            got = "none" if first is None else "one"
            raise fail("nets.ScoreNet", f"first must be given where s1 names one; got {got}")
        self.sigma_range = sigma_range
        self.details = dict(details or {})
        self.sample_shape: list[int] = self.options["image_shape"] or [dim]
        self.max_order = 1 + (self.options["s2"] != "none") + (self.options["s3"] != "none")
        mean = torch.zeros(dim) if data_mean is None else data_mean
        variance = torch.ones(dim) if data_variance is None else data_variance
        for name, moment in (("data_mean", mean), ("data_variance", variance)):
            if moment.shape != (dim,):
                found = list(moment.shape)
                raise fail("nets.ScoreNet", f"{name} must have shape [{dim}]; got {found}")
            self.register_buffer(name, moment.detach().clone())
        if not bool((variance > 0).all()):
            raise fail("nets.ScoreNet", f"data_variance must be positive; got {variance.min()}")
        index = symmetric_index(dim) if self.options["s3"] == "full" else None
        self.register_buffer("third_index", index, persistent=False)
        self.network = make_network(self.options)
        self.first = first

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The denoised mean E[clean | x], of x's shape.

        Parameters
        ----------
        x : [B, *sample_shape], noisy, in the units of the data, of the model's type and device.
        sigma : its noise level, positive; one number, or one a sample, [B].

        Raises
        ------
        ValueError : naming x or sigma, what it must be and what it is.
        """
        flat, level = self._inputs("forward", x, sigma)
        noise = level.square()
        if self.first is not None:
            return (flat + noise * self._given(flat, level)).view(x.shape)
        p = _Preconditioner(self, level)
        raw = self.network.first_head(self._features(x, level, 1)[0])
        kept = self.data_variance / (self.data_variance + noise)
        mean = self.data_mean + kept * (flat - self.data_mean) + noise * p.unit * raw
        return mean.view(x.shape)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """s1 = grad log p_sigma(x), of x's shape. Parameters and errors as of `forward`."""
        flat, level = self._inputs("score", x, sigma)
        if self.first is not None:
            return self._given(flat, level).view(x.shape)
        features = self._features(x, level, 1)[0]
        return self._first(_Preconditioner(self, level), features, flat, level).view(x.shape)

    def second_order(self, x: Tensor, sigma: float | Tensor) -> SecondOrder:
        """s2, the Hessian of log p_sigma at x, over flat samples.

        Parameters and errors as of `forward`; ValueError for a model without a second order.
        """
        self._require("second_order", 2)
        _, level = self._inputs("second_order", x, sigma)
        return self._second(_Preconditioner(self, level), self._features(x, level, 2)[1])

    def third_order(self, x: Tensor, sigma: float | Tensor) -> ThirdOrder:
        """s3, the third derivatives of log p_sigma at x, over flat samples.

        Parameters and errors as of `forward`; ValueError for a model without a third order.
        """
        self._require("third_order", 3)
        _, level = self._inputs("third_order", x, sigma)
        return self._third(_Preconditioner(self, level), self._features(x, level, 3)[2])

    def jet(self, x: Tensor, sigma: float | Tensor, order: int | None = None) -> Jet:
        """All orders up to `order` (None: all that the model has) for one pass of the network.

        Parameters and errors as of `forward`; ValueError for an order that the model lacks.
        """
        order = self.max_order if order is None else order
        self._require("jet", order)
        flat, level = self._inputs("jet", x, sigma)
        p, features = _Preconditioner(self, level), self._features(x, level, order)
        s1 = self._first(p, features[0], flat, level).view(x.shape)
        s2 = self._second(p, features[1]) if order > 1 else None
        return Jet(s1, s2, self._third(p, features[2]) if order > 2 else None)

    def resized(self, height: int, width: int) -> ScoreNet:
        """The same model, its weights shared, on images of another size.

        A low-rank third order is left out: its terms are weighed by the whole picture.

        Raises
        ------
        ValueError : for a model of vectors or with a given s1, for a size that the U-Net's stride
            does not divide, and for data moments that differ between the pixels of a channel.
        """
        where, network = "nets.ScoreNet.resized", self.network
        if not isinstance(network, UNet) or self.first is not None:
            got = "a given s1" if self.first is not None else "an mlp"
            raise fail(where, f"the model must be a unet that learned its s1; got {got}")
        if min(height, width) < 1 or height % network.stride or width % network.stride:
            wanted = f"positive multiples of {network.stride}"
            raise fail(where, f"height and width must be {wanted}; got {height} x {width}")
        channels = self.sample_shape[0]
        net = copy.copy(self)
        net._buffers = dict(self._buffers)
        for name in ("data_mean", "data_variance"):
            pixels = getattr(self, name).view(channels, -1)
            if not bool((pixels == pixels[:, :1]).all()):
                raise fail(where, f"{name} must be the same at every pixel of a channel")
            setattr(net, name, pixels[:, :1].expand(channels, height * width).flatten())
        net.sample_shape = [channels, height, width]
        net.options = {**self.options, "image_shape": net.sample_shape}
        net.options["dim"] = channels * height * width
        if self.options["s3"] == "low_rank":
            net.options["s3"], net.max_order = "none", 2
        return net

    def _first(self, p: _Preconditioner, features: Tensor, flat: Tensor, level: Tensor) -> Tensor:
        if self.first is not None:
            return self._given(flat, level)
        raw = self.network.first_head(features)
        return p.gaussian * (flat - self.data_mean) + p.unit * raw

    def _given(self, flat: Tensor, level: Tensor) -> Tensor:
        assert self.first is not None
        s1: Tensor = self.first(flat, level.squeeze(-1))
        return s1

    def _second(self, p: _Preconditioner, features: Tensor) -> SecondOrder:
        raw = self.network.second_head(features)
        if self.options["s2"] == "full":
            return SecondOrder(matrix=self._full(p, raw["factor"]))
        if self.options["s2"] == "diagonal":
            diagonal = p.relative.square() * raw["diagonal"]
            if self.options["parameterisation"] == "psd":
                diagonal = (1 - _VARIANCE_FLOOR) * F.elu(diagonal)
            return SecondOrder(p.gaussian + p.scale.square() * diagonal)
        if self.options["scale"] == "data":
            factor = p.unit.unsqueeze(-1) * raw["factor"]
        else:
            u = raw["factor"] / math.sqrt(raw["factor"].shape[2])
            bounded = u * (1 + (u / _FACTOR_BOUND).square()).rsqrt()
            factor = p.scale.unsqueeze(-1) * bounded
        return SecondOrder(self._diagonal(p, raw["diagonal"]), factor)

    def _third(self, p: _Preconditioner, features: Tensor) -> ThirdOrder:
        raw, d = self.network.third_head(features), self.options["dim"]
        if "entries" in raw:
            t = raw["entries"].index_select(1, self.third_index).view(-1, d, d, d)
            u = p.unit
            scaled = t * u[:, :, None, None] * u[:, None, :, None] * u[:, None, None, :]
            return ThirdOrder(tensor=scaled)
        diagonal = p.unit.pow(3) * raw["diagonal"]
        if "factor" not in raw:
            return ThirdOrder(diagonal)
        sizes = raw["factor"].square().sum(1, keepdim=True)
        direction = raw["factor"] * (0.25 * d + sizes).rsqrt()
        weights: Tensor = math.sqrt(d) * raw["weights"]
        return ThirdOrder(diagonal, weights, p.unit.unsqueeze(-1) * direction)

    def _full(self, p: _Preconditioner, factor: Tensor) -> Tensor:
        m = p.relative.square().unsqueeze(-1) * factor / math.sqrt(self.options["dim"])
        residual = m + m.transpose(1, 2)
        if self.options["parameterisation"] == "psd":
            residual = (1 - _VARIANCE_FLOOR) * (residual + m @ m.transpose(1, 2))
        scaled = p.scale.unsqueeze(-1) * residual * p.scale.unsqueeze(1)
        return torch.diag_embed(p.gaussian) + scaled

    def _diagonal(self, p: _Preconditioner, raw: Tensor) -> Tensor:
        if self.options["parameterisation"] == "free":
            return p.gaussian + p.scale.square() * p.relative.square() * raw
        floor = _VARIANCE_FLOOR * p.noise_variance
        v = self.data_variance * F.softplus(raw + _SOFTPLUS_ONE) + floor
        return -1 / (p.noise_variance + v)

    def _features(self, x: Tensor, level: Tensor, order: int) -> list[Tensor]:
        noise = level.square()
        scaled = (x.flatten(1) - self.data_mean) * (self.data_variance + noise).rsqrt()
        return self.network.features(scaled.view(x.shape), 0.25 * level.squeeze(-1).log(), order)

    def _require(self, name: str, order: int) -> None:
        if not 1 <= order <= self.max_order:
            wanted = f"lie between 1 and {self.max_order}, what this model was trained for"
            raise fail(f"nets.ScoreNet.{name}", f"order must {wanted}; got {order}")

    def _inputs(self, name: str, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """x as [B, D] and sigma as [B, 1], checked."""
        check_arguments(f"nets.ScoreNet.{name}", x, sigma, self.sample_shape, self.data_mean)
        count = x.shape[0]
        if isinstance(sigma, Tensor):
            level = sigma.to(x).expand(count).unsqueeze(-1)
        else:
            level = x.new_ones(count, 1) * sigma
        return x.flatten(1), level


class _Preconditioner:
    """What maps network outputs to scores at one sigma each, [B, D]; level [B, 1]."""

    def __init__(self, net: ScoreNet, level: Tensor) -> None:
        variance = net.data_variance
        self.noise_variance = level.square()
        total = variance + self.noise_variance
        self.gaussian = -1 / total
        self.scale = (variance / (self.noise_variance * total)).sqrt()
        if net.options["scale"] == "noise":
            self.relative = torch.ones_like(total)
        else:
            self.relative = (self.noise_variance / variance).sqrt()
        self.unit = self.scale * self.relative


def load(run: str | Path, weights: str = "ema", device: str | torch.device = "cpu") -> ScoreNet:
    """The model of a run, of a checkpoint's file, or of an exported folder, ready to use and to train.

    Parameters
    ----------
    run : the run's folder, or a checkpoint.
    weights : "ema", the averaged ones that the command uses, or "last", those of the last step.
    device : where to put it.

    Raises
    ------
    FileNotFoundError, RuntimeError : naming the file, what it must hold and what it holds.
    """
    if (Path(run) / "config.json").is_file():  # a folder that save_pretrained wrote
        exported: ScoreNet = ScoreNet.from_pretrained(run, map_location=device)
        return exported
    groups = {"ema": "ema", "last": "weights"}
    if weights not in groups:
        raise fail("nets.load", f'weights must be ema or last; got "{weights}"')
    checkpoint = read_checkpoint(run)
    net = ScoreNet(
        checkpoint.options,
        checkpoint.tensors["data/mean"],
        checkpoint.tensors["data/variance"],
        open_given_first(checkpoint.options, checkpoint.run / "s1.pt"),
        sigma_range=trained_range(read_config(checkpoint.run / "config.toml")),
        details=describe_training(checkpoint),
    )
    group = groups[weights]
    load_state(net.network, checkpoint.group(group), str(checkpoint.path), f"{group}/")
    return net.to(device)


def save_run_weights(net: ScoreNet, run: str | Path) -> None:
    """Puts a net's weights into the checkpoint of the run that it was loaded from.

    The command then uses them: they become both the weights and the averaged weights. All else is
    kept, the step and Adam's moments too: `scorejet train --resume` goes on from these weights with
    the moments of the run's own last step, which fade over some thousand steps. The checkpoint is
    replaced whole or not at all. A calibration.json is no longer of this model: make
    it again with `scorejet calibrate`.

    Raises
    ------
    ValueError : for a net of other options, data moments or parameters than the run's, or with
        weights that are not finite.
    FileNotFoundError, RuntimeError : as of `load`.
    """
    where = "nets.save_run_weights"
    checkpoint = read_checkpoint(run)
    for key, expected in checkpoint.options.items():
        if net.options[key] != expected:
            got = json.dumps(net.options[key])
            raise fail(where, f"net must have {key} {json.dumps(expected)}, as the run; got {got}")
    for name, moment in checkpoint.group("data").items():
        own = getattr(net, f"data_{name}").detach().cpu().to(moment.dtype)
        if not torch.equal(own, moment):
            raise fail(where, f"net must have the data_{name} of the run; got another")
    replace_weights(checkpoint, dict(net.network.named_parameters()))
