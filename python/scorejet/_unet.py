"""The network for images. Change it together with src/nets/unet.cc, whose twin it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scorejet._layers import (
    CONDITION_WIDTH,
    NoiseEmbedding,
    ResidualBlock,
    conv3x3,
    zero_parameters,
)

_SHARED_MAPS = 15  # that a factor's columns are mixed from; one more: the diagonal
_WAVES = 4  # along each side, that tell a column's coefficients where they are


class UNetTrunk(nn.Module):
    """Residual blocks on folded pixels, [B, folded, h, w] to [B, channels, h, w]."""

    def __init__(self, folded: int, channels: int, blocks: int, levels: int) -> None:
        super().__init__()
        self.blocks, self.levels = blocks, levels
        self.embedding = NoiseEmbedding()
        self.input = conv3x3(folded, channels)
        for level in range(levels - 1):
            self._add_blocks(f"down{level}", blocks, channels)
            self._add_blocks(f"up{level}", blocks, channels)
            self.add_module(f"shrink{level}", nn.Conv2d(channels, 2 * channels, 2, stride=2))
            self.add_module(f"widen{level}", nn.Conv2d(2 * channels, channels, 1))
            channels *= 2
        self._add_blocks("bottom", blocks + 1, channels)

    def _add_blocks(self, name: str, count: int, channels: int) -> None:
        for i in range(count):
            self.add_module(f"{name}_{i}", ResidualBlock(channels, CONDITION_WIDTH))

    def _run(self, name: str, count: int, h: Tensor, condition: Tensor) -> Tensor:
        for i in range(count):
            h = getattr(self, f"{name}_{i}")(h, condition)
        return h

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        condition = self.embedding(noise)
        h: Tensor = self.input(x)
        skips: list[Tensor] = []
        for level in range(self.levels - 1):
            h = self._run(f"down{level}", self.blocks, h, condition)
            skips.append(h)
            h = getattr(self, f"shrink{level}")(h)
        h = self._run("bottom", self.blocks + 1, h, condition)
        for level in reversed(range(self.levels - 1)):
            wide = getattr(self, f"widen{level}")(h)
            h = skips[level] + F.interpolate(wide, size=skips[level].shape[2:], mode="nearest")
            h = self._run(f"up{level}", self.blocks, h, condition)
        return F.silu(h)


class UNet(nn.Module):
    """The network for images: features of a scaled image, then a convolutional head an order.

    It takes images of every size that `stride` divides; heads return flat samples of D numbers.

    Parameters
    ----------
    image_shape : channels, height and width that it is trained on.
    channels, blocks, levels : channels at the finest level, residual blocks a level, resolutions.
    patch : pixels a side folded into channels at the input.
    s2, s3 : structure of the second and third order: "none", "diagonal" or "low_rank".
    rank, s3_rank : columns of the second order's factor, and terms of the third's.
    share_trunk : one trunk for all orders, or one each.
    first : a head for the first order; without one the first trunk is the second order's.

    Examples
    --------
    >>> import torch
    >>> net = UNet((1, 8, 8), channels=4, rank=2)
    >>> net.first_head(net.features(torch.zeros(2, 1, 8, 8), torch.zeros(2), 1)[0]).shape
    torch.Size([2, 64])
    """

    s1: nn.Conv2d | None
    s2_trunk: UNetTrunk | None
    s2_diagonal: nn.Conv2d | None
    s2_maps: nn.Conv2d | None
    s3_trunk: UNetTrunk | None
    s3_diagonal: nn.Conv2d | None
    s3_weights: nn.Linear | None
    s3_block: ResidualBlock | None
    s3_factor: nn.Conv2d | None

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: int = 32,
        blocks: int = 1,
        levels: int = 2,
        patch: int = 2,
        s2: str = "low_rank",
        rank: int = 20,
        s3: str = "none",
        s3_rank: int = 20,
        share_trunk: bool = True,
        first: bool = True,
    ) -> None:
        super().__init__()
        self.image_shape, self.patch = tuple(image_shape), patch
        self.stride, self.rank, self.s3_rank = patch << (levels - 1), rank, s3_rank
        folded = image_shape[0] * patch * patch
        self.folded = folded

        def make_trunk() -> UNetTrunk:
            return UNetTrunk(folded, channels, blocks, levels)

        self.s1 = self.s2_trunk = self.s2_diagonal = self.s2_maps = self.s3_trunk = None
        self.s3_diagonal = self.s3_weights = self.s3_block = self.s3_factor = None
        self.trunk = make_trunk()
        if first:
            self.s1 = conv3x3(channels, folded)
            nn.init.zeros_(self.s1.weight)
        if s2 == "none":
            return
        if not share_trunk and first:
            self.s2_trunk = make_trunk()
        if s2 == "diagonal":
            self.s2_diagonal = conv3x3(channels, folded)
        else:
            self._make_factor(channels)
        if s3 == "none":
            return
        if not share_trunk:
            self.s3_trunk = make_trunk()
        self.s3_diagonal = conv3x3(channels, folded)
        zero_parameters(self.s3_diagonal)
        if s3 == "low_rank":
            self.s3_weights = nn.Linear(channels, s3_rank)
            self.s3_block = ResidualBlock(channels)
            self.s3_factor = conv3x3(channels, folded * s3_rank)
            zero_parameters(self.s3_weights)

    def _make_factor(self, channels: int) -> None:
        self.s2_maps = conv3x3(channels, self.folded * (1 + _SHARED_MAPS))
        self.s2_shrink = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.s2_place = nn.Conv2d(_WAVES * _WAVES, channels, 1, bias=False)
        self.s2_block = ResidualBlock(channels)
        self.s2_mixing = nn.Conv2d(channels, _SHARED_MAPS * self.rank, 1, bias=False)
        self.s2_gain = nn.Linear(channels, 1)
        zero_parameters(self.s2_gain)

    def features(self, x: Tensor, noise: Tensor, order: int) -> list[Tensor]:
        """Those of every order up to `order`: x [B, C, H, W] of unit variance, noise [B]."""
        folded = F.pixel_unshuffle(x, self.patch)
        first: Tensor = self.trunk(folded, noise)
        result = [first]
        for trunk in (self.s2_trunk, self.s3_trunk)[: order - 1]:
            result.append(first if trunk is None else trunk(folded, noise))
        return result

    def first_head(self, features: Tensor) -> Tensor:
        """[B, D]"""
        assert self.s1 is not None, "s1 is given, not learned"
        return self._unfold(self.s1(features))

    def second_head(self, features: Tensor) -> dict[str, Tensor]:
        """The "diagonal" [B, D] and, for "low_rank", "factor" [B, D, rank]."""
        if self.s2_diagonal is not None:
            return {"diagonal": self._unfold(self.s2_diagonal(features))}
        assert self.s2_maps is not None, "there is no second order"
        maps = self.s2_maps(features)
        cells = self.s2_shrink(features)
        coarse = F.silu(self.s2_block(cells + self.s2_place(self._waves(cells))))
        gain = self.s2_gain(coarse.mean((2, 3))).exp()
        mixing = self.s2_mixing(coarse * gain[:, :, None, None])
        factor = _mixed_maps(mixing, maps[:, self.folded :], self.rank, self.patch)
        return {
            "diagonal": self._unfold(maps[:, : self.folded]),
            "factor": factor.flatten(2).transpose(1, 2),
        }

    def third_head(self, features: Tensor) -> dict[str, Tensor]:
        """The "diagonal" [B, D] and, for "low_rank", "weights" [B, r] and "factor" [B, D, r]."""
        assert self.s3_diagonal is not None, "there is no third order"
        outputs = {"diagonal": self._unfold(self.s3_diagonal(features))}
        if self.s3_weights is None or self.s3_block is None or self.s3_factor is None:
            return outputs
        outputs["weights"] = self.s3_weights(features.mean((2, 3)))
        columns = self._unfold(self.s3_factor(self.s3_block(features)))
        outputs["factor"] = columns.view(columns.shape[0], self.s3_rank, -1).transpose(1, 2)
        return outputs

    def _unfold(self, maps: Tensor) -> Tensor:
        return F.pixel_shuffle(maps, self.patch).flatten(1)

    def _waves(self, cells: Tensor) -> Tensor:
        """cos(pi a y) cos(pi b x) at every cell, y and x from 0 to 1 across a trained map.

        [1, waves^2, h, w]
        """
        trained = [(size // self.patch + 1) // 2 for size in self.image_shape[1:]]

        def count(size: int) -> Tensor:
            return torch.arange(size, dtype=cells.dtype, device=cells.device)

        def along(size: int, whole: int) -> Tensor:
            at = math.pi * ((count(size) + 0.5) / whole)
            return torch.cos(count(_WAVES).unsqueeze(-1) * at)

        rows, columns = (along(*pair) for pair in zip(cells.shape[2:], trained, strict=True))
        waves = rows[:, None, :, None] * columns[None, :, None, :]
        return waves.reshape(1, _WAVES * _WAVES, *cells.shape[2:])


def _mixed_maps(coefficients: Tensor, maps: Tensor, columns: int, patch: int) -> Tensor:
    """Each column at a pixel is a combination of shared maps, by coefficients that vary slowly.

    Coefficients [B, m columns, h, w], maps [B, m S, H, W] to
    [B, columns, S/patch^2, H patch, W patch].
    """
    batch, _, height, width = maps.shape
    shared = coefficients.shape[1] // columns
    between = F.interpolate(
        coefficients, size=(height, width), mode="bilinear", align_corners=False
    ).view(batch, shared, columns, height, width)
    values = maps.reshape(batch, shared, -1, height, width)
    mixed = torch.einsum("nckhw,ncshw->nkshw", between, values)
    pixels = F.pixel_shuffle(mixed.flatten(1, 2), patch)
    return pixels.reshape(batch, columns, -1, *pixels.shape[2:])
