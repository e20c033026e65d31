"""Intruders against the rank with α = 8 and with α = 2r, the product of α and the rate kept."""

import dataclasses

from gallery import drawn

from spectra import plot_sweep


def draw(study, ax):
    rule = ["8" if alpha == 8 else "2r" for alpha in study.table["alpha"]]
    study = dataclasses.replace(study, table=study.table.assign(rule=rule))
    plot_sweep(study, "rank", "num_intruders_0.8", by="rule", ax=ax)
    ax.get_legend().set_title("α")


drawn(__file__, "alpha", draw)
