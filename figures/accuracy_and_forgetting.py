"""Accuracy and forgetting against the rank; each method at its picked rate."""

from gallery import drawn, picked

from spectra import plot_sweep


def accuracy(study, ax):
    plot_sweep(picked(study), "rank", "accuracy", ax=ax)
    ax.set_ylim(0.5, 0.9)


drawn(
    __file__,
    "rank_sweep",
    accuracy,
    lambda study, ax: plot_sweep(picked(study), "rank", "forgetting", ax=ax),
)
