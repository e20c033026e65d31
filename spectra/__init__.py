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
    from .plots import plot_continual as plot_continual
    from .plots import plot_correlation as plot_correlation
    from .plots import plot_count_by_epsilon as plot_count_by_epsilon
    from .plots import plot_count_by_k as plot_count_by_k
    from .plots import plot_dynamics as plot_dynamics
    from .plots import plot_forgetting as plot_forgetting
    from .plots import plot_intervention as plot_intervention
    from .plots import plot_intruder_map as plot_intruder_map
    from .plots import plot_similarity as plot_similarity
    from .plots import plot_spectrum as plot_spectrum
    from .plots import plot_sweep as plot_sweep
    from .reporting import report as report
    from .results import read_comparisons as read_comparisons
    from .results import write_comparisons as write_comparisons
    from .studies.callback import SpectraCallback as SpectraCallback
    from .studies.continual import continual as continual
    from .studies.continual import transfer as transfer
    from .studies.dynamics import dynamics as dynamics
    from .studies.forgetting import forgetting as forgetting
    from .studies.grid import load_grid as load_grid
    from .studies.intervention import intervene as intervene
    from .studies.statistics import rank_correlation as rank_correlation
    from .studies.study import Study as Study
    from .studies.study import read_saved as read_saved
    from .studies.sweep import sweep as sweep
    from .studies.sweep import sweep_existing as sweep_existing
    from .trainer import Recipe as Recipe
    from .trainer import Run as Run
    from .trainer import train as train
    from .weights import open_checkpoint as open_checkpoint

# Where the public names live. Nothing is imported before it is asked for, so that `import spectra` costs nothing.
_HOMES = {
    name: module
    for module, names in {
        ".studies.callback": ("SpectraCallback",),
        ".comparing": ("compare",),
        ".comparison": ("Comparison",),
        ".studies.continual": ("continual", "transfer"),
        ".errors": ("CheckpointError", "PairingError", "RecipeError", "ResultError", "SpectraError"),
        ".examined": ("Examined",),
        ".studies.dynamics": ("dynamics",),
        ".studies.forgetting": ("forgetting",),
        ".studies.grid": ("load_grid",),
        ".studies.intervention": ("intervene",),
        ".intruders": ("examine",),
        ".linalg": ("effective_rank", "random_direction_null", "stable_rank"),
        ".plots": (
            "plot_continual",
            "plot_correlation",
            "plot_count_by_epsilon",
            "plot_count_by_k",
            "plot_dynamics",
            "plot_forgetting",
            "plot_intervention",
            "plot_intruder_map",
            "plot_similarity",
            "plot_spectrum",
            "plot_sweep",
        ),
        ".reporting": ("report",),
        ".results": ("read_comparisons", "write_comparisons"),
        ".studies.statistics": ("rank_correlation",),
        ".studies.study": ("Study", "read_saved"),
        ".studies.sweep": ("sweep", "sweep_existing"),
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
