"""Forgetting against the number of intruders, and against the size of the update, a point a run."""

from gallery import drawn

from spectra import plot_correlation


def against_size(study, ax):
    plot_correlation(study, "relative_delta", ax=ax)
    ax.set_xscale("log")
    ax.set_xticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
    ax.minorticks_off()


drawn(__file__, "correlation", lambda study, ax: plot_correlation(study, "num_intruders_0.8", ax=ax), against_size)
