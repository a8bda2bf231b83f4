"""Compare ERM, mixup and k-mixup fairly: each tuned with the same budget, on Ray Tune and Optuna."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_kmixup.cli.prediction import load_model
    from tune_kmixup.cli.python import launch, load
    from tune_kmixup.core.config import Recipe, Study, Suite, Task, Trial
    from tune_kmixup.core.errors import BadInput
    from tune_kmixup.mixing import KMixup, mix, mixed_cross_entropy, pair, sample_lambda

try:
    __version__ = version("tune-kmixup")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "BadInput",
    "KMixup",
    "Recipe",
    "Study",
    "Suite",
    "Task",
    "Trial",
    "__version__",
    "launch",
    "load",
    "load_model",
    "mix",
    "mixed_cross_entropy",
    "pair",
    "sample_lambda",
]

_MODULES = {
    "BadInput": "tune_kmixup.core.errors",
    **dict.fromkeys(("launch", "load"), "tune_kmixup.cli.python"),
    "load_model": "tune_kmixup.cli.prediction",
    **dict.fromkeys(("Recipe", "Study", "Suite", "Task", "Trial"), "tune_kmixup.core.config"),
    **dict.fromkeys(("KMixup", "mix", "mixed_cross_entropy", "pair", "sample_lambda"), "tune_kmixup.mixing"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that `import tune_kmixup` needs neither torch nor Ray."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
