"""Intruders against how many leading vectors are examined (paper: Fig. 15); mean and standard deviation over seeds."""

from gallery import drawn, only

from spectra.plots.style import line_styles


def draw(study, ax):
    table = only(study, epsilon=0.8).table
    for (label, group), style in zip(table.groupby("run", sort=False), line_styles(), strict=False):
        cells = group.groupby("k")["num_intruders"]
        ax.errorbar(cells.mean().index, cells.mean(), yerr=cells.std(), label=label, capsize=2, **style)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("k: leading singular vectors examined per matrix")
    ax.set_ylabel("intruder dimensions (ε = 0.8)")
    ax.legend(frameon=False, fontsize=8)


drawn(__file__, "epsilon_and_k", draw)
