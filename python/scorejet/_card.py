"""README.md of an exported model. Change its words here."""

from __future__ import annotations

import json
from typing import Any

_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
}

_NETWORKS = {"mlp": "An MLP", "unet": "A U-Net"}
_ORDERS = ("the score s1", "its Hessian s2", "the third derivatives s3")

_USE = """## Use

```python
from scorejet.nets import ScoreNet

net = ScoreNet.from_pretrained("{folder}")
mean = net(x, sigma)  # E[clean | x]; x [B, {shape}], sigma a number or [B]
s1 = net.score(x, sigma)
{second}```

`model.safetensors` holds the state dict of that module, which is plain PyTorch, and `config.json`
its options. `safetensors.torch.load_file("model.safetensors")` reads it without scorejet.
"""


def model_card(net: Any, dtype: str, license: str) -> str:
    """The card: front matter, what it is, use, data, training, figures and limits."""
    settings = net.details.get("settings", {})
    data = str(settings.get("data", {}).get("name", "unknown"))
    shape = " x ".join(map(str, net.sample_shape))
    second = "s2 = net.second_order(x, sigma)\n" if net.max_order > 1 else ""
    third = "s3 = net.third_order(x, sigma)\n" if net.max_order > 2 else ""
    use = _USE.format(
        folder="FOLDER", shape=", ".join(map(str, net.sample_shape)), second=second + third
    )
    orders = _ORDERS[: net.max_order]
    learned = " and ".join([", ".join(orders[:-1]), orders[-1]] if len(orders) > 1 else orders)
    parts = [
        _front_matter(data, license),
        f"# {data}: scores of noisy data\n\n{_NETWORKS[net.options['network']]} that gives "
        f"{learned} of log p_sigma, the density of {data} with Gaussian noise of standard "
        "deviation sigma, trained by denoising with scorejet. The scores give the posterior of the "
        "clean sample: its mean is x + sigma^2 s1"
        + (", its covariance sigma^2 I + sigma^4 s2.\n" if net.max_order > 1 else ".\n"),
        use,
        _data(net, data, shape),
        _training(net, settings, dtype),
        _figures(net.details.get("calibration", [])),
        _limits(net, data),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(data: str, license: str) -> str:
    lines = ["---", f"license: {license}", "library_name: scorejet", "tags:"]
    lines += ["- score-matching", "- denoising", "- uncertainty", "- pytorch"]
    if data in _DATASETS:
        lines += ["datasets:", f"- {_DATASETS[data]}"]
    return "\n".join([*lines, "---", ""])


def _levels(net: Any) -> str:
    if net.sigma_range is None:
        return "not recorded"
    low, high = net.sigma_range
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _data(net: Any, data: str, shape: str) -> str:
    mean, variance = net.data_mean.float(), net.data_variance.float()
    values = "that of the training data"
    if data in _DATASETS:
        values = "0 to 1"
    elif net.options["image_shape"]:
        values += ": 0 to 1 where its images had 8 bits"
    return (
        "## Data\n\n"
        f"| data | {data} |\n|---|---|\n"
        f"| one sample | {shape} |\n"
        f"| value range | {values} |\n"
        f"| mean over coordinates | {float(mean.min()):.4g} to {float(mean.max()):.4g} |\n"
        f"| standard deviation | {float(variance.min().sqrt()):.4g} to "
        f"{float(variance.max().sqrt()):.4g} |\n"
        f"| sigma, in the same units | {_levels(net)} |\n"
    )


def _training(net: Any, settings: dict[str, Any], dtype: str) -> str:
    count = sum(p.numel() for p in net.network.parameters())
    steps = f"{int(net.details['step'])} steps" if "step" in net.details else "steps not recorded"
    text = f"## Training\n\n{count:,} parameters, kept in {dtype}; {steps}"
    if isinstance(net.details.get("seconds"), float):
        text += f" in {net.details['seconds']:.1f} s"
    text += ".\n"
    if not settings:
        return text
    lines: list[str] = []
    for section, values in settings.items():
        lines += [""] * bool(lines) + [f"[{section}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    settings_text = "\n".join(lines)
    return (
        f"{text}\n```sh\nscorejet train config.toml --out RUN\n```\n\n"
        f"with config.toml:\n\n```toml\n{settings_text}\n```\n"
    )


def _toml(value: Any) -> str:
    return value if value in ("inf", "-inf", "nan") else json.dumps(value, ensure_ascii=False)


def _figures(calibration: list[dict[str, Any]]) -> str:
    if not calibration:
        return ""
    rows = []
    for entry in calibration:
        raw, corrected = entry["raw"], entry["calibrated"]
        for level, before, after in zip(
            entry["levels"], raw["coverage"], corrected["coverage"], strict=True
        ):
            rows.append(
                f"| {entry['sigma']:g} | {level:g} | {before:.3f} | {after:.3f} "
                f"| {entry['temperature']:.3f} |"
            )
    return (
        "## Figures\n\nCoverage of intervals of the clean coordinates, on held-out samples.\n\n"
        "| sigma | nominal | as predicted | calibrated | temperature |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _limits(net: Any, data: str) -> str:
    lines = [
        f"- Noise levels outside {_levels(net)} were not trained on.",
        f"- It knows {data} alone: of other data it gives confident, wrong answers.",
    ]
    if net.options["s2"] in ("diagonal", "low_rank"):
        rank = f" plus rank {net.options['rank']}" if net.options["s2"] == "low_rank" else ""
        lines.append(f"- s2 is diagonal{rank}: correlations beyond it are not there.")
    if net.options["parameterisation"] == "free" and net.max_order > 1:
        lines.append("- Nothing holds the posterior covariance positive definite.")
    if net.options["s1"]:
        lines.append("- s1 is that of `s1.pt`, a network that was given and not trained here.")
    if not net.details.get("calibration"):
        lines.append("- Its error bars were not measured against held-out data.")
    return "## Limits\n\n" + "\n".join(lines) + "\n"
