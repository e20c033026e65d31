"""Intruders with α = 8 and with α = 2r, the product of α and the rate kept: by rank, by ε, by k (paper: Fig. 19)."""

from gallery import by_epsilon, by_k, drawn

from spectra import plot_sweep


def by_rank(study, ax):
    plot_sweep(study, "rank", "num_intruders_0.8", by="rule", ax=ax)
    ax.get_legend().set_title("α")


drawn(__file__, "alpha", by_rank, ("alpha-counts", by_epsilon), ("alpha-counts", by_k))
