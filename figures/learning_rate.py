"""Intruders, and what is learned, against the learning rate, a line a rank."""

from gallery import drawn

from spectra.plots.style import line_styles


def column(name, words):
    def draw(study, ax):
        table = study.table.assign(label=study.table["rank"].map(lambda r: f"r = {r:g}" if r == r else "full"))
        for (label, group), style in zip(table.groupby("label", sort=False), line_styles(), strict=False):
            cells = group.groupby("learning_rate")[name]
            ax.errorbar(cells.mean().index, cells.mean(), yerr=cells.std(), label=label, capsize=2, **style)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel(words)
        ax.legend(frameon=False, fontsize=8)

    return draw


drawn(__file__, "learning_rate", column("num_intruders_0.8", "intruders (ε = 0.8)"), column("accuracy", "accuracy"))
