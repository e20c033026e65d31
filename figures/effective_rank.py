"""Effective rank of the update against the rank it may have, full tuning last (paper: Fig. 14)."""

from gallery import drawn

from spectra import plot_sweep


def draw(study, ax):
    plot_sweep(study, "rank", "effective_rank", ax=ax)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)


drawn(__file__, "effective_rank", draw)
