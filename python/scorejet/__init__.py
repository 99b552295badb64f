"""Second- and higher-order scores: error bars for denoisers, curvature-aware sampling.

    import scorejet
    field = scorejet.field(denoiser, shape=(1, 28, 28))        # any f(x, sigma) -> E[clean | x]
    found = scorejet.components(field, noisy, sigma=0.3, count=5)
    model = scorejet.load("runs/mine")                         # a run of the scorejet command
    posterior = scorejet.posterior(model, noisy, sigma=0.3)    # mean, std, interval, sample, ...

Arrays are torch tensors or anything that torch.as_tensor takes; x is [B, *shape], sigma a number or
[B]. Nothing global changes at import: threads, seeds and default types stay as they are.
"""

from ._version import check_torch as _check_torch

_check_torch()

from . import adapters, events, nets  # noqa: E402
from ._version import __version__  # noqa: E402
from .chains import Chains, kernels, sample  # noqa: E402
from .densities import Density, density, density_names, gaussian_mixture  # noqa: E402
from .fields import Field, SymmetricOperator, field  # noqa: E402
from .nets import ScoreNet, load  # noqa: E402
from .posteriors import (  # noqa: E402
    Components,
    Posterior,
    calibrate,
    components,
    denoise,
    estimate_noise,
    posterior,
)
from .tables import CausalOrder, causal_order  # noqa: E402
from .training import settings, train  # noqa: E402

__all__ = [
    "CausalOrder",
    "Chains",
    "Components",
    "Density",
    "Field",
    "Posterior",
    "ScoreNet",
    "SymmetricOperator",
    "__version__",
    "adapters",
    "calibrate",
    "causal_order",
    "components",
    "denoise",
    "density",
    "density_names",
    "estimate_noise",
    "events",
    "field",
    "gaussian_mixture",
    "kernels",
    "load",
    "nets",
    "posterior",
    "sample",
    "settings",
    "train",
]
