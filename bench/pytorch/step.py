#!/usr/bin/python3
"""One training step of s1 and a low-rank s2 in plain PyTorch, to hold scorejet's against.

The same networks, batch, rank, preconditioning and loss (centred, variance reduction) as
`step_bench`, in two ways: `dense` forms every D x D matrix, as the public code of Meng et al. 2021
does; `exact` uses the identities of diag(a) + B B^T. With --task evaluate only both scores are
computed at a noisy batch, s2 as a matrix or as its parts. Prints one line of JSON: median seconds a
step and the peak memory in MB of one, beyond what is kept between steps.

    /usr/bin/python3 bench/pytorch/step.py mlp exact --seconds 3 --threads 2
"""
import argparse
import ctypes
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

SIGMA, VARIANCE = 0.5, 0.1  # of the noise and of the data, all coordinates alike
MAPS = 15  # that the columns of a U-Net's factor are mixed from
WAVES = 4  # along each side, that tell its coefficients where they are


class Embedding(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, width)

    def forward(self, noise):
        angles = noise.unsqueeze(-1) * 2.0 ** torch.arange(8)
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        return F.silu(self.second(F.silu(self.first(waves))))


class Mlp(nn.Module):
    def __init__(self, dim, rank, width=256, depth=2):
        super().__init__()
        self.dim, self.rank = dim, rank
        self.embedding, self.input = Embedding(), nn.Linear(dim, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.conditions = nn.ModuleList(nn.Linear(64, width) for _ in range(depth))
        self.s1, self.diagonal = nn.Linear(width, dim), nn.Linear(width, dim)
        self.factor = nn.Linear(width, dim * rank)

    def forward(self, x, noise):
        condition = self.embedding(noise)
        h = self.input(x)
        for layer, shift in zip(self.layers, self.conditions):
            h = h + layer(F.silu(h + shift(condition)))
        h = F.silu(h)
        scale = 4 / math.sqrt(h.shape[1])
        return self.s1(h), self.diagonal(h), scale * self.factor(h).view(-1, self.dim, self.rank)


def conv3(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Block(nn.Module):
    def __init__(self, channels, condition=64):
        super().__init__()
        self.first, self.second = conv3(channels, channels), conv3(channels, channels)
        self.condition = nn.Linear(condition, 2 * channels) if condition else None

    def forward(self, x, condition=None):
        h = self.first(F.silu(x))
        if self.condition:
            gain, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
            h = h * (1 + gain) + shift
        return x + self.second(F.silu(h))


class UNet(nn.Module):
    """Two resolutions on folded 2 x 2 pixels, channels 32."""

    def __init__(self, dim, rank, channels=32):
        super().__init__()
        self.dim, self.rank, self.side = dim, rank, math.isqrt(dim)
        self.embedding, self.input = Embedding(), conv3(4, channels)
        self.down, self.up = Block(channels), Block(channels)
        self.shrink = nn.Conv2d(channels, 2 * channels, 2, stride=2)
        self.widen = nn.Conv2d(2 * channels, channels, 1)
        self.bottom = nn.ModuleList(Block(2 * channels) for _ in range(2))
        self.s1, self.maps = conv3(channels, 4), conv3(channels, 4 * (1 + MAPS))
        self.coarse = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.place = nn.Conv2d(WAVES**2, channels, 1, bias=False)
        self.block = Block(channels, 0)
        self.mixing = nn.Conv2d(channels, MAPS * rank, 1, bias=False)
        self.gain = nn.Linear(channels, 1)

    def forward(self, x, noise):
        condition = self.embedding(noise)
        h = F.pixel_unshuffle(x.view(-1, 1, self.side, self.side), 2)
        h = self.input(h.contiguous(memory_format=torch.channels_last))
        skip = self.down(h, condition)
        h = self.shrink(skip)
        for block in self.bottom:
            h = block(h, condition)
        h = self.up(skip + F.interpolate(self.widen(h), scale_factor=2.0), condition)
        h = F.silu(h)
        unfold = lambda maps: F.pixel_shuffle(maps.contiguous(), 2).flatten(1)
        cells = self.coarse(h)
        at = (torch.arange(cells.shape[-1]) + 0.5) / cells.shape[-1]
        waves = torch.cos(math.pi * torch.arange(WAVES)[:, None] * at)
        waves = (waves[:, None, :, None] * waves[None, :, None, :]).reshape(1, -1, *cells.shape[2:])
        coarse = F.silu(self.block(cells + self.place(waves)))
        maps = self.maps(h)
        mixing = self.mixing(coarse * self.gain(coarse.mean((2, 3))).exp()[:, :, None, None])
        mixing = F.interpolate(mixing, scale_factor=2.0, mode="bilinear", align_corners=False)
        size, (height, width) = h.shape[0], h.shape[2:]
        columns = torch.einsum("nckhw,ncshw->nkshw",
                               mixing.reshape(size, MAPS, self.rank, height, width),
                               maps[:, 4:].reshape(size, MAPS, 4, height, width))
        factor = unfold(columns.reshape(size, 4 * self.rank, height, width))
        return (unfold(self.s1(h)), unfold(maps[:, :4]),
                factor.view(-1, self.rank, self.dim).transpose(1, 2))


def scores(network, x):
    """s1 [B, D] and the parts a [B, D], b [B, D, r] of s2 = diag(a) + b b^T."""
    noise = torch.full((x.shape[0],), 0.25 * math.log(SIGMA))
    total = VARIANCE + SIGMA**2
    f, d, b = network(x / math.sqrt(total), noise)
    scale = math.sqrt(VARIANCE / (SIGMA**2 * total))
    v = VARIANCE * F.softplus(d + math.log(math.e - 1)) + 1e-5 * SIGMA**2
    u = b / math.sqrt(b.shape[2])
    return -x / total + scale * f, -1 / (SIGMA**2 + v), scale * u / (1 + (u / 4) ** 2).sqrt()


def inner(a, b, v):
    """v^T s2 v."""
    return (a * v**2).sum(1) + (b.transpose(1, 2) @ v.unsqueeze(2)).square().sum((1, 2))


def centred_exact(s1, a, b, z):
    r = z + SIGMA * s1.detach()
    rows = b.square().sum(2)
    gram = b.transpose(1, 2) @ b
    norm = a.square().sum(1) + 2 * (a * rows).sum(1) + gram.square().sum((1, 2))
    return 0.5 * norm + (a.sum(1) + rows.sum(1) - inner(a, b, r)) / SIGMA**2


def control_exact(a, b, z):
    """tr(C s2 C) - w^T s2 w, C = I + sigma^2 s2 held constant, w = C z."""
    ca, cb = 1 + SIGMA**2 * a.detach(), SIGMA * b.detach()
    w = ca * z + (cb @ (cb.transpose(1, 2) @ z.unsqueeze(2))).squeeze(2)
    crows = cb @ (cb.transpose(1, 2) @ cb)
    diagonal = ca**2 + 2 * ca * cb.square().sum(2) + (crows * cb).sum(2)  # of C^2
    cb_b = cb.transpose(1, 2) @ b
    c_b = ca.unsqueeze(2) * b + cb @ cb_b  # C b
    return (a * diagonal).sum(1) + c_b.square().sum((1, 2)) - inner(a, b, w)


def dense(a, b):
    return torch.diag_embed(a) + b @ b.transpose(1, 2)


def centred_dense(s1, a, b, z):
    r = z + SIGMA * s1.detach()
    target = (torch.eye(a.shape[1]) - r.unsqueeze(2) * r.unsqueeze(1)) / SIGMA**2
    return 0.5 * ((dense(a, b) + target).square() - target.square()).sum((1, 2))


def control_dense(a, b, z):
    h = dense(a, b)
    c = torch.eye(a.shape[1]) + SIGMA**2 * h.detach()
    w = c @ z.unsqueeze(2)
    return ((c @ c - w @ w.transpose(1, 2)) * h).sum((1, 2))


def losses(network, x, z, centred, control):
    size = x.shape[0]
    s1, a, b = scores(network, torch.cat([x + SIGMA * z, x - SIGMA * z, x]))
    plus, minus, clean = (slice(i * size, (i + 1) * size) for i in range(3))
    first = 0.5 * (s1[plus].square().sum(1) + s1[minus].square().sum(1))
    first = first + (z * (s1[plus] - s1[minus])).sum(1) / SIGMA
    second = 0.5 * (centred(s1[plus], a[plus], b[plus], z) +
                    centred(s1[minus], a[minus], b[minus], -z))
    second = second - control(a[clean], b[clean], z) / SIGMA**2
    scale = VARIANCE / (SIGMA**2 * (VARIANCE + SIGMA**2))
    return (first / scale).mean(), (second / scale**2).mean()


def status_mb(key):
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(key + ":"))
    return int(line.split()[1]) * 1024 / 1e6


def peak_mb(run):
    """Largest resident memory while `run` runs, less what the process had before."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # forgets the high-water mark
    before = status_mb("VmRSS")
    run()
    return status_mb("VmHWM") - before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=["mlp", "unet"])
    parser.add_argument("algebra", choices=["dense", "exact"])
    parser.add_argument("--task", choices=["step", "evaluate"], default="step")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rank", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dim = 784
    batch = options.batch or (40 if options.network == "mlp" else 64)
    rank = options.rank or (50 if options.network == "mlp" else 20)
    network = (Mlp if options.network == "mlp" else UNet)(dim, rank)
    if options.network == "unet":
        network = network.to(memory_format=torch.channels_last)
    exact = options.algebra == "exact"
    terms = (centred_exact, control_exact) if exact else (centred_dense, control_dense)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    average = [p.detach().clone() for p in network.parameters()]
    data = torch.randint(0, 256, (1000, dim), dtype=torch.uint8)

    def evaluate():
        with torch.no_grad():
            s1, a, b = scores(network, noisy)
            return s1, (a, b) if exact else dense(a, b)

    def step():
        x = data[torch.randint(0, 1000, (batch,))].float() / 255 - 0.5
        first, second = losses(network, x, torch.randn_like(x), *terms)
        optimiser.zero_grad()
        (first + 0.1 * second).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            for a, p in zip(average, network.parameters()):
                a.lerp_(p, 1e-3)
        return float(first), float(second)

    noisy = data[:batch].float() / 255 - 0.5 + SIGMA * torch.randn(batch, dim)
    run = step if options.task == "step" else evaluate
    run()
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < options.seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(json.dumps({"network": options.network, "algebra": options.algebra, "batch": batch,
                      "rank": rank, "seconds": sorted(times)[len(times) // 2],
                      "steps": len(times), "peak_mb": peak_mb(run)}))


if __name__ == "__main__":
    main()
