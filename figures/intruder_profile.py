"""Cosines with all of the base's vectors of a vector close to none of them, and of one close to one (paper: Fig. 2)."""

from gallery import drawn

from spectra.plots.style import line_styles


def draw(study, ax):
    for (words, group), style in zip(study.table.groupby("vector", sort=False), line_styles(), strict=False):
        label = f"{words}: tuned vector {group['place'].iloc[0]}, best {group['cosine'].max():.2f}"
        ax.plot(group["base_place"], group["cosine"], label=label, **style | {"linestyle": "none", "markersize": 3})
    ax.set_ylim(0, 1.25)
    ax.set_xlabel("base singular vector")
    ax.set_ylabel("|cosine|")
    ax.set_title(f"{study.provenance['matrix']}, LoRA, r = 1", fontsize=9)
    ax.legend(frameon=False, fontsize=8, loc="upper right")


drawn(__file__, "intruder_profile", draw)
