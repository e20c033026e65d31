"""Forgetting and accuracy against the rank with α = 8 and with α = 2r, the product of α and the rate kept (Fig. 20)."""

from gallery import drawn

from spectra import plot_sweep


def against_rank(y):
    def draw(study, ax):
        plot_sweep(study, "rank", y, by="rule", ax=ax)
        ax.get_legend().set_title("α")

    return draw


drawn(__file__, "alpha", against_rank("forgetting"), against_rank("accuracy"))
