"""Training of scorejet's own networks on arrays in memory, by the C++ library."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from . import _convert, _core
from .nets import ScoreNet


def settings() -> dict[str, tuple[str, str, str]]:
    """Every setting of a model and its loss: default, what it may be, meaning."""
    return {key: (text, requirement, help) for key, text, requirement, help in _core.settings()}


def train(
    x: _convert.Array,
    sigma: float,
    *,
    shape: Sequence[int] | None = None,
    steps: int = 2000,
    batch: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
    model: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoreNet:
    """Learns the scores of p_sigma from clean samples x [N, *shape] and returns the network.

    model and loss: settings by their names without the section, as `settings()` lists them:
    model={"s2": "diagonal", "width": 64}. Samples of three axes or more are images [C, H, W] for a
    U-Net; others go to an MLP as vectors. Without variance reduction unless sigma is small beside the
    data (loss={"variance_reduction": True}). progress(done, steps) after each step. Ctrl-C raises
    KeyboardInterrupt within a step.

    Raises ValueError for settings, shapes, NaN or a constant column; RuntimeError naming the step
    where a loss leaves its bounds.
    """
    for name, given in (("model", model), ("loss", loss)):
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"{name} must be a dict of settings; got {type(given).__name__}")
    steps, batch = _convert.integer("steps", steps, 1), _convert.integer("batch", batch, 1)
    seed, level = _convert.integer("seed", seed), _convert.one_level(sigma)
    data = _convert.tensor("x", x)
    sample = tuple(data.shape[1:]) if shape is None else tuple(int(size) for size in shape)
    rows = _convert.samples("x", data, sample).to("cpu", torch.float32)
    if rows.shape[0] < 2:
        raise ValueError(f"x must have two samples at least; got {rows.shape[0]}")
    bad = (~rows.isfinite().all(1)).nonzero()
    if bad.numel():
        raise ValueError(f"x must be finite; row {int(bad[0])} is not")
    image = list(sample) if len(sample) == 3 else []
    mean, variance = _moments(rows, image)
    chosen = {f"model.{key}": _text(value) for key, value in (model or {}).items()}
    if chosen.get("model.s2", "low_rank") == "low_rank" and "model.rank" not in chosen:
        chosen["model.rank"] = str(min(20, rows.shape[1]))
    with torch.random.fork_rng(devices=[]):  # weights are drawn from the global generator
        core = _core.ScoreModel(chosen, rows.shape[1], image, mean, variance, seed)
    _core.fit(
        core,
        rows,
        level,
        steps,
        batch,
        _convert.number("learning_rate", learning_rate),
        seed,
        _loss_settings(loss or {}, level, variance),
        None if progress is None else lambda done: progress(done, steps),
    )
    with torch.random.fork_rng(devices=[]):
        net = ScoreNet(
            _options(core, rows.shape[1], image),
            mean,
            variance,
            sigma_range=(level, level),
            details={"steps": steps, "seed": seed},
        )
    net.network.load_state_dict(core.weights())
    return net.eval()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _loss_settings(
    given: Mapping[str, Any], sigma: float, variance: torch.Tensor
) -> dict[str, str]:
    small = sigma * sigma < 0.25 * float(variance.mean())
    chosen: dict[str, Any] = {"variance_reduction": small, **given}
    names = {"clip_norm": "train.clip_norm", "trunk_share": "train.trunk_share"}
    result = {names.get(key, f"loss.{key}"): _text(value) for key, value in chosen.items()}
    return {"train.clip_norm": "1", **result}


def _moments(rows: torch.Tensor, image: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each coordinate, or of each channel of images, [D]."""
    exact = rows.double()
    mean, square = exact.mean(0), exact.square().mean(0)
    if image:
        pixels = math.prod(image[1:])
        mean = mean.reshape(image[0], pixels).mean(1).repeat_interleave(pixels)
        square = square.reshape(image[0], pixels).mean(1).repeat_interleave(pixels)
    variance = square - mean.square()
    constant = (variance <= 1e-12 * square.clamp_min(1e-30)).nonzero()
    if constant.numel():
        what = "channel" if image else "column"
        raise ValueError(f"every {what} of x must vary; coordinate {int(constant[0])} is constant")
    return mean.float(), variance.float()


def _options(core: "_core.ScoreModel", dim: int, image: Sequence[int]) -> dict[str, Any]:
    kinds: dict[str, Callable[[str], Any]] = {"share_trunk": lambda text: text == "true"}
    options: dict[str, Any] = {"dim": dim, "image_shape": list(image)}
    for key, text in core.describe().items():
        name = key.removeprefix("model.")
        if name in kinds:
            options[name] = kinds[name](text)
        else:
            options[name] = int(text) if text.isdigit() else text
    if options["network"] == "auto":
        options["network"] = "unet" if image else "mlp"
    return options
