"""Intruders against forgetting and accuracy (paper: Fig. 11), and the size of the update against forgetting."""

from gallery import drawn

from spectra import plot_correlation


def against_size(study, ax):
    plot_correlation(study, "relative_delta", ax=ax)
    ax.set_xscale("log")
    ax.set_xticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
    ax.minorticks_off()


drawn(
    __file__,
    "correlation",
    lambda study, ax: plot_correlation(study, "num_intruders_0.8", ax=ax),
    lambda study, ax: plot_correlation(study, "num_intruders_0.8", "accuracy", ax=ax),
    against_size,
)
