"""Effective rank of the update against the rank, with α = 2r and with α = 8, full tuning last (paper: Fig. 14)."""

from gallery import drawn

from spectra import plot_sweep


def draw(study, ax):
    plot_sweep(study, "rank", "effective_rank", by="rule", ax=ax)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)
    for text in ax.get_legend().get_texts():
        text.set_text({"8": "LoRA, α = 8", "2r": "LoRA, α = 2r"}.get(text.get_text(), text.get_text()))


drawn(__file__, "effective_rank", draw)
