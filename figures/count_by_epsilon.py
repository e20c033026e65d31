"""Intruders against the threshold ε (paper: Fig. 4); mean and standard deviation over seeds, k = 10."""

from gallery import drawn, only

from spectra.plots.style import line_styles


def draw(study, ax):
    table = only(study, k=10).table
    for (label, group), style in zip(table.groupby("run", sort=False), line_styles(), strict=False):
        cells = group.groupby("epsilon")["num_intruders"]
        ax.errorbar(cells.mean().index, cells.mean(), yerr=cells.std(), label=label, capsize=2, **style)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("ε: best cosine below which a vector counts")
    ax.set_ylabel("intruder dimensions (k = 10)")
    ax.legend(frameon=False, fontsize=8)


drawn(__file__, "epsilon_and_k", draw)
