"""Intruders against ε, a line for each of five seeds (paper: Fig. 22)."""

from gallery import drawn, only

from spectra.plots.style import line_styles


def draw(study, ax):
    for (label, group), style in zip(only(study, k=10).table.groupby("run", sort=False), line_styles(), strict=False):
        for _, seed in group.groupby("seed"):
            ax.plot(seed["epsilon"], seed["num_intruders"], label=label, **style | {"linewidth": 0.8, "markersize": 2})
            label = None  # once in the legend
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("ε: best cosine below which a vector counts")
    ax.set_ylabel("intruders (k = 10), a line a seed")
    ax.legend(frameon=False, fontsize=8)


drawn(__file__, "seeds-counts", draw)
