"""spectra: what fine-tuning did to the weights of a model.

>>> import spectra
>>> result = spectra.compare("base/", "tuned/")  # doctest: +SKIP
>>> result.num_intruders  # doctest: +SKIP
12
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .comparing import compare
    from .comparison import Comparison
    from .errors import CheckpointError, PairingError, RecipeError, ResultError, SpectraError
    from .intruders import Examined, examine
    from .linalg import effective_rank, random_direction_null, stable_rank
    from .plots import (
        plot_count_by_epsilon,
        plot_count_by_k,
        plot_intruder_map,
        plot_similarity,
        plot_spectrum,
    )
    from .results import read_comparisons, write_comparisons
    from .trainer import Recipe, Run, train
    from .weights import open_checkpoint

# Where each public name lives. Nothing is imported before it is asked for, so that `import spectra` costs nothing.
_HOMES = {
    "compare": ".comparing",
    "Comparison": ".comparison",
    "CheckpointError": ".errors",
    "PairingError": ".errors",
    "RecipeError": ".errors",
    "ResultError": ".errors",
    "SpectraError": ".errors",
    "Examined": ".intruders",
    "examine": ".intruders",
    "effective_rank": ".linalg",
    "random_direction_null": ".linalg",
    "stable_rank": ".linalg",
    "plot_count_by_epsilon": ".plots",
    "plot_count_by_k": ".plots",
    "plot_intruder_map": ".plots",
    "plot_similarity": ".plots",
    "plot_spectrum": ".plots",
    "read_comparisons": ".results",
    "write_comparisons": ".results",
    "Recipe": ".trainer",
    "Run": ".trainer",
    "train": ".trainer",
    "open_checkpoint": ".weights",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spectra' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
