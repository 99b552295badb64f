"""The version, and whether the torch in use is the one that _core was built against."""

import torch

try:
    from . import _built
except ImportError:
    raise ImportError("scorejet's compiled part is missing here: pip install . in its source") from None

__version__: str = _built.VERSION


def check_torch() -> None:
    """Raises ImportError, with the command that mends it, for another minor version of torch."""
    built, found = (v.split("+")[0].split(".")[:2] for v in (_built.TORCH, torch.__version__))
    if built != found:
        raise ImportError(
            f"scorejet was built for PyTorch {'.'.join(built)}, this is {torch.__version__}: "
            "pip install --force-reinstall --no-deps --no-cache-dir scorejet"
        )
