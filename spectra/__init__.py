"""spectra: what fine-tuning did to the weights of a model.

>>> import spectra
>>> result = spectra.compare("base/", "tuned/")  # doctest: +SKIP
>>> result.num_intruders  # doctest: +SKIP
12
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .comparing import compare as compare
    from .comparison import Comparison as Comparison
    from .errors import CheckpointError as CheckpointError
    from .errors import PairingError as PairingError
    from .errors import RecipeError as RecipeError
    from .errors import ResultError as ResultError
    from .errors import SpectraError as SpectraError
    from .examined import Examined as Examined
    from .intruders import examine as examine
    from .linalg import effective_rank as effective_rank
    from .linalg import random_direction_null as random_direction_null
    from .linalg import stable_rank as stable_rank
    from .plots import plot_count_by_epsilon as plot_count_by_epsilon
    from .plots import plot_count_by_k as plot_count_by_k
    from .plots import plot_intruder_map as plot_intruder_map
    from .plots import plot_similarity as plot_similarity
    from .plots import plot_spectrum as plot_spectrum
    from .results import read_comparisons as read_comparisons
    from .results import write_comparisons as write_comparisons
    from .trainer import Recipe as Recipe
    from .trainer import Run as Run
    from .trainer import train as train
    from .weights import open_checkpoint as open_checkpoint

# Where the public names live. Nothing is imported before it is asked for, so that `import spectra` costs nothing.
_HOMES = {
    name: module
    for module, names in {
        ".comparing": ("compare",),
        ".comparison": ("Comparison",),
        ".errors": ("CheckpointError", "PairingError", "RecipeError", "ResultError", "SpectraError"),
        ".examined": ("Examined",),
        ".intruders": ("examine",),
        ".linalg": ("effective_rank", "random_direction_null", "stable_rank"),
        ".plots": (
            "plot_count_by_epsilon",
            "plot_count_by_k",
            "plot_intruder_map",
            "plot_similarity",
            "plot_spectrum",
        ),
        ".results": ("read_comparisons", "write_comparisons"),
        ".trainer": ("Recipe", "Run", "train"),
        ".weights": ("open_checkpoint",),
    }.items()
    for name in names
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
