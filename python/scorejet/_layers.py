"""Parts that the networks share. A part under another name here no longer loads a run's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONDITION_WIDTH = 64
_FREQUENCIES = 8  # periods from 2 pi down to 2 pi/128 in units of ln(sigma)/4
_BLOCK_SCALE = 0.2  # of the default initialisation of a block's last convolution


class NoiseEmbedding(nn.Module):
    """How a network is told sigma: noise [B], ln(sigma)/4, to [B, width]."""

    def __init__(self, width: int = CONDITION_WIDTH) -> None:
        super().__init__()
        self.first = nn.Linear(2 * _FREQUENCIES, width)
        self.second = nn.Linear(width, width)

    def forward(self, noise: Tensor) -> Tensor:
        frequencies = torch.exp2(torch.arange(_FREQUENCIES, dtype=noise.dtype, device=noise.device))
        angles = noise.unsqueeze(-1) * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        hidden: Tensor = self.second(F.silu(self.first(waves)))
        return F.silu(hidden)


class ResidualBlock(nn.Module):
    """x + conv(silu((1 + gain) conv(silu(x)) + shift)), gain and shift a channel from sigma."""

    condition: nn.Linear | None

    def __init__(self, channels: int, condition_width: int = 0) -> None:
        super().__init__()
        self.first = conv3x3(channels, channels)
        self.second = conv3x3(channels, channels)
        self.condition = nn.Linear(condition_width, 2 * channels) if condition_width else None
        with torch.no_grad():
            self.second.weight.mul_(_BLOCK_SCALE)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.first(F.silu(x))
        if self.condition is not None and condition is not None:
            gain, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
            h = torch.addcmul(shift, h, 1 + gain)
        change: Tensor = self.second(F.silu(h))
        return x + change


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def zero_parameters(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def symmetric_index(dim: int) -> Tensor:
    """Where entry (i, k, l) of a symmetric tensor stands among those with i <= k <= l. [D^3]"""
    ordered = torch.combinations(torch.arange(dim), 3, with_replacement=True)
    place = torch.zeros(dim, dim, dim, dtype=torch.long)
    for a, b, c in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        place[ordered[:, a], ordered[:, b], ordered[:, c]] = torch.arange(len(ordered))
    return place.flatten()
