"""Effective rank of the update against the rank, with α = 2r and with α = 8, full tuning last (paper: Fig. 14)."""

from gallery import drawn

from spectra import plot_sweep


def draw(study, ax):
    plot_sweep(study, "rank", "effective_rank", by="rule", ax=ax)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)
    ax.get_legend().set_title("α")


drawn(__file__, "effective_rank", draw)
