"""Accuracy and forgetting against the rank; each method at its picked rate, five seeds (paper: Fig. 6)."""

from gallery import drawn

from spectra import plot_sweep


def forgetting(study, ax):
    plot_sweep(study, "rank", "forgetting", ax=ax)
    if (ceiling := study.table["ceiling"].iloc[0]) == ceiling:
        ax.axhline(ceiling, color="gray", linestyle=":", label="a model that tells nothing")
        ax.legend(frameon=False, fontsize=8)


def accuracy(study, ax):
    plot_sweep(study, "rank", "accuracy", ax=ax)
    ax.set_ylim(0.5, 0.9)


drawn(__file__, "seeds", forgetting, accuracy)
