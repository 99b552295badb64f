"""The network for vectors. Change it together with src/nets/mlp.cc, whose twin it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scorejet._layers import CONDITION_WIDTH, NoiseEmbedding, zero_parameters

_UNITS_PER_COORDINATE = 4


class MLPTrunk(nn.Module):
    """Residual hidden layers with sigma added to each: x [B, inputs], noise [B] to [B, width]."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.embedding = NoiseEmbedding()
        self.input = nn.Linear(inputs, width)
        _start_sparse(self.input)
        for i in range(depth):
            self.add_module(f"layer{i}", nn.Linear(width, width))
            self.add_module(f"condition{i}", nn.Linear(CONDITION_WIDTH, width))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        condition = self.embedding(noise)
        h: Tensor = self.input(x)
        for i in range(self.depth):
            layer, shift = getattr(self, f"layer{i}"), getattr(self, f"condition{i}")
            h = h + layer(F.silu(h + shift(condition)))
        return F.silu(h)


class MLP(nn.Module):
    """The network for vectors: features of a scaled input, then a linear head an order.

    Parameters
    ----------
    dim : D, numbers of a sample.
    width, depth : hidden units a layer, and hidden layers of a trunk.
    s2, s3 : structure of the second and third order: "none", "diagonal", "low_rank" or "full".
    rank, s3_rank : columns of the second order's factor, and terms of the third's.
    share_trunk : one trunk for all orders; otherwise each sees the features of those below.
    first : a head for the first order; without one the first trunk is the second order's.

    Examples
    --------
    >>> import torch
    >>> features = MLP(3, width=8, rank=2).features(torch.zeros(4, 3), torch.zeros(4), 1)
    >>> features[0].shape
    torch.Size([4, 8])
    """

    s1: nn.Linear | None
    s2_trunk: MLPTrunk | None
    s2_diagonal: nn.Linear | None
    s2_factor: nn.Linear | None
    s3_trunk: MLPTrunk | None
    s3_diagonal: nn.Linear | None
    s3_weights: nn.Linear | None
    s3_factor: nn.Linear | None
    s3_entries: nn.Linear | None

    def __init__(
        self,
        dim: int,
        *,
        width: int = 256,
        depth: int = 2,
        s2: str = "low_rank",
        rank: int = 20,
        s3: str = "none",
        s3_rank: int = 20,
        share_trunk: bool = True,
        first: bool = True,
    ) -> None:
        super().__init__()
        self.dim, self.width, self.s3_rank = dim, width, s3_rank
        self.columns = dim if s2 == "full" else rank
        self.s1 = self.s2_trunk = self.s2_diagonal = self.s2_factor = None
        self.s3_trunk = self.s3_entries = None
        self.s3_diagonal = self.s3_weights = self.s3_factor = None
        self.trunk = MLPTrunk(dim, width, depth)
        if first:
            self.s1 = nn.Linear(width, dim)
            nn.init.zeros_(self.s1.weight)
        if s2 == "none":
            return
        if not share_trunk and first:
            self.s2_trunk = MLPTrunk(dim + width, width, depth)
        if s2 != "full":
            self.s2_diagonal = nn.Linear(width, dim)
        if s2 != "diagonal":
            self.s2_factor = nn.Linear(width, dim * self.columns)
        if s3 == "none":
            return
        if not share_trunk:
            below = 1 if self.s2_trunk is None else 2
            self.s3_trunk = MLPTrunk(dim + below * width, width, depth)
        self._make_third_head(s3)

    def _make_third_head(self, s3: str) -> None:
        d = self.dim
        if s3 == "full":
            self.s3_entries = nn.Linear(self.width, d * (d + 1) * (d + 2) // 6)
            zero_parameters(self.s3_entries)
            return
        self.s3_diagonal = nn.Linear(self.width, d)
        zero_parameters(self.s3_diagonal)
        if s3 == "low_rank":
            self.s3_weights = nn.Linear(self.width, self.s3_rank)
            zero_parameters(self.s3_weights)
            self.s3_factor = nn.Linear(self.width, d * self.s3_rank)

    def features(self, x: Tensor, noise: Tensor, order: int) -> list[Tensor]:
        """Those of every order up to `order`: x [B, D] of unit variance, noise [B], ln(sigma)/4."""
        first: Tensor = self.trunk(x, noise)
        if order == 1:
            return [first]
        second = first
        if self.s2_trunk is not None:
            second = self.s2_trunk(torch.cat([x, first], 1), noise)
        if order == 2:
            return [first, second]
        third = first
        if self.s3_trunk is not None:
            below = [x, first] if self.s2_trunk is None else [x, first, second]
            third = self.s3_trunk(torch.cat(below, 1), noise)
        return [first, second, third]

    def first_head(self, features: Tensor) -> Tensor:
        """[B, D]"""
        assert self.s1 is not None, "s1 is given, not learned"
        result: Tensor = self.s1(features)
        return result

    def second_head(self, features: Tensor) -> dict[str, Tensor]:
        """The "diagonal" [B, D], the "factor" [B, D, rank] or, for "full", [B, D, D]."""
        outputs: dict[str, Tensor] = {}
        if self.s2_diagonal is not None:
            outputs["diagonal"] = self.s2_diagonal(features)
        if self.s2_factor is not None:
            scale = 4 / math.sqrt(self.width)
            weight, bias = self.s2_factor.weight, scale * self.s2_factor.bias
            factor = F.linear(scale * features, weight, bias)
            outputs["factor"] = factor.view(-1, self.dim, self.columns)
        return outputs

    def third_head(self, features: Tensor) -> dict[str, Tensor]:
        """The "diagonal" [B, D], "weights" [B, r], "factor" [B, D, r]; or for "full" "entries"."""
        if self.s3_entries is not None:
            return {"entries": self.s3_entries(features)}
        assert self.s3_diagonal is not None, "there is no third order"
        outputs: dict[str, Tensor] = {"diagonal": self.s3_diagonal(features)}
        if self.s3_factor is not None and self.s3_weights is not None:
            outputs["weights"] = self.s3_weights(features)
            outputs["factor"] = self.s3_factor(features).view(-1, self.dim, self.s3_rank)
        return outputs


def _start_sparse(layer: nn.Linear) -> None:
    """A unit sees a few coordinates only, each coordinate at least four units (Martens 2010)."""
    width, inputs = layer.weight.shape
    count = min(inputs, (_UNITS_PER_COORDINATE * inputs + width - 1) // width)
    with torch.no_grad():
        layer.weight.zero_()
        for k in range(count):
            column = (torch.arange(width) + k * (inputs // count)).remainder(inputs).unsqueeze(1)
            layer.weight.scatter_(1, column, torch.randn(width, 1) / math.sqrt(count))
        layer.bias.normal_()
