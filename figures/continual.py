"""Accuracy on each of six tasks after each stage, full tuning and LoRA; and the intruders against the original base."""

from gallery import drawn, only

from spectra import plot_continual
from spectra.plots.style import line_styles


def accuracy(label):
    def draw(study, ax):
        plot_continual(only(study, run=label), ax=ax)
        ax.set_ylabel(f"{label}: accuracy, new heads")

    return draw


def intruders(study, ax):
    stages = study.table[study.table["stage"] > 0].drop_duplicates(["run", "seed", "stage"])
    for (label, group), style in zip(stages.groupby("run", sort=False), line_styles(), strict=False):
        cells = group.groupby("stage")["num_intruders"]
        ax.errorbar(cells.mean().index, cells.mean(), yerr=cells.std(), label=label, capsize=2, **style)
    ax.set_xlabel("stage")
    ax.set_ylabel("intruders (ε = 0.8)")
    ax.legend(frameon=False, fontsize=8)


drawn(__file__, "continual", accuracy("full"), accuracy("LoRA r = 8"), intruders)
