"""Runs of every configuration of the nets, and how their scores are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scorejet import nets

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TOLERANCE = 1e-6  # largest difference over largest size
GOLDEN_RUNS = {
    "mlp_low_rank": 2,
    "mlp_full": 2,
    "mlp_free_diagonal": 2,
    "mlp_third": 3,
    "unet_low_rank": 2,
    "unet_diagonal": 2,
}
SMALL = {"mlp": "width=8 depth=1", "unet": "channels=4"}
CONFIGURATIONS = {
    "mlp_first": "rows s2=none",
    "mlp_diagonal": "rows s2=diagonal",
    "mlp_diagonal_free_data": "rows s2=diagonal parameterisation=free scale=data",
    "mlp_low_rank_data": "rows rank=3 scale=data depth=3",
    "mlp_low_rank_free_apart": "rows rank=2 parameterisation=free share_trunk=false",
    "mlp_full": "rows s2=full",
    "mlp_full_free_data": "rows s2=full parameterisation=free scale=data",
    "mlp_third_diagonal": "rows rank=2 s3=diagonal noise.sigma_max=2",
    "mlp_third_low_rank_apart": "rows rank=2 s3=low_rank s3_rank=7 share_trunk=false depth=2",
    "mlp_third_full_apart": "rows s2=diagonal s3=full share_trunk=false",
    "mlp_third_full_data": "rows s2=full s3=full scale=data",
    "mlp_given": "rows rank=2 share_trunk=false s3=low_rank s3_rank=2 s1.predicts=clean",
    "unet_first": "discs s2=none",
    "unet_diagonal_free": "discs s2=diagonal parameterisation=free patch=1 levels=3 blocks=2",
    "unet_colours": "colours rank=5 noise.sigma_max=1",
    "unet_low_rank_free_data_apart": "discs rank=3 parameterisation=free scale=data "
    "share_trunk=false",
    "unet_third_low_rank_apart": "colours rank=2 s3=low_rank s3_rank=3 share_trunk=false",
    "unet_third_diagonal": "discs s2=diagonal s3=diagonal patch=4 levels=1",
    "unet_third_low_rank_data": "discs rank=3 s3=low_rank s3_rank=2 patch=1 levels=1 scale=data",
    "unet_given": "discs rank=2 share_trunk=false s1.predicts=noise",
}


class GivenVectors(torch.nn.Module):
    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma[:, None] * sigma[:, None])


class GivenImages(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def train(command, data: Path, name: str, out: Path) -> None:
    """Three steps of one configuration."""
    table, *words = CONFIGURATIONS[name].split()
    family = name.split("_")[0]
    settings = [f"data.name={data / table}.npy", "data.validation=20", "train.steps=3"]
    settings += ["train.batch=16", "noise.sigma=0.3", "loss.variance_reduction=false"]
    settings += [f"model.{word}" for word in SMALL[family].split()]
    settings += [word if "." in word else f"model.{word}" for word in words]
    if "given" in name:
        torch.manual_seed(2)
        network = GivenVectors() if family == "mlp" else GivenImages()
        torch.jit.script(network).save(str(data / f"{family}.pt"))
        settings.append(f"s1.from={data / family}.pt")
    arguments = [word for setting in settings for word in ("--set", setting)]
    command("train", data / "config.toml", *arguments, "--out", out)


def points_file(name: str, data: Path = GOLDEN) -> Path:
    if name.startswith("mlp"):
        return data / "points.npy"
    table = CONFIGURATIONS.get(name, "discs").split()[0]
    return data / ("colours_points.npy" if table == "colours" else "disc_points.npy")


def points(net: nets.ScoreNet, file: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(file)).view(-1, *net.sample_shape)


def stir(net: nets.ScoreNet, seed: int = 0) -> None:
    """Moves every weight, so that no head is left near its start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.network.parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.add_(0.7 * torch.randn_like(parameter) / inputs**0.5)


def arrays(net: nets.ScoreNet, x: torch.Tensor, sigma: float) -> dict[str, np.ndarray]:
    """Scores under the names that `scorejet score` gives them."""
    with torch.no_grad():
        jet = net.jet(x, sigma)
    result = {"s1": jet.s1.flatten(1)}
    if jet.s2 is not None:
        s2 = jet.s2
        if s2.factor is not None:
            result.update(s2_a=s2.diagonal, s2_b=s2.factor)
        else:
            result.update(
                {"s2": s2.matrix} if s2.diagonal is None else {"s2_diagonal": s2.diagonal}
            )
    if jet.s3 is not None:
        s3 = jet.s3
        if s3.factor is not None:
            result.update(s3_c=s3.diagonal, s3_gamma=s3.weights, s3_w=s3.factor)
        else:
            result.update(
                {"s3": s3.tensor} if s3.diagonal is None else {"s3_diagonal": s3.diagonal}
            )
    return {name: value.numpy() for name, value in result.items()}


def compare(found: dict[str, np.ndarray], expected, label: str) -> None:
    """Holds every array to TOLERANCE and prints the largest relative difference."""
    assert sorted(found) == sorted(expected)
    worst = {}
    for name in found:
        assert found[name].shape == expected[name].shape, name
        size = np.abs(expected[name]).max()
        worst[name] = np.abs(found[name].astype("f8") - expected[name]).max() / max(size, 1e-30)
    text = "  ".join(f"{name} {value:.1e}" for name, value in worst.items())
    print(f"\n{label}: {max(worst.values()):.1e}  ({text})")
    for name, value in worst.items():
        assert value < TOLERANCE, f"{label} {name} {value:.2e}"


def score(command, run: Path, file: Path, order: int, out: Path, sigma: float = 0.3):
    command("score", run, file, "--sigma", sigma, "--order", order, "--device", "cpu", "--out", out)
    return np.load(out)
