"""The figures: each draws one saved comparison, or several, on the axes it is given, and returns them.

A figure is one file here and one row in `PLOTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .counts import plot_count_by_epsilon, plot_count_by_k
from .intruder_map import plot_intruder_map
from .similarity import plot_similarity
from .spectrum import plot_spectrum
from .studies import (
    plot_continual,
    plot_correlation,
    plot_dynamics,
    plot_forgetting,
    plot_intervention,
    plot_sweep,
)

# Kind on the command line → function, and whether it draws one matrix (and takes `name`) or whole results.
PLOTS: dict[str, tuple[Callable[..., Any], bool]] = {
    "similarity": (plot_similarity, True),
    "spectrum": (plot_spectrum, True),
    "map": (plot_intruder_map, False),
    "epsilon": (plot_count_by_epsilon, False),
    "k": (plot_count_by_k, False),
}

# Kind of study → its figure; `spectra plot` takes these names, and "correlation" for a sweep.
STUDY_PLOTS: dict[str, Callable[..., Any]] = {
    "sweep": plot_sweep,
    "forgetting": plot_forgetting,
    "intervention": plot_intervention,
    "continual": plot_continual,
    "dynamics": plot_dynamics,
}

__all__ = [
    "PLOTS",
    "STUDY_PLOTS",
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
]
