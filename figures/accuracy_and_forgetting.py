"""Accuracy and forgetting against the rank; each method at its picked rate (paper: Fig. 6)."""

from gallery import drawn, only

from spectra import plot_sweep


def accuracy(study, ax):
    plot_sweep(only(study, picked=True), "rank", "accuracy", ax=ax)
    ax.set_ylim(0.5, 0.9)


drawn(
    __file__,
    "rank_sweep",
    lambda study, ax: plot_sweep(only(study, picked=True), "rank", "forgetting", ax=ax),
    accuracy,
)
