"""Forgetting and accuracy against the scale λ of the top intruders; dotted: the untouched base (paper: Fig. 8)."""

import dataclasses

from gallery import drawn, lines, only


def against_scale(y, words):
    def draw(study, ax):
        table = only(study, target="intruder").table
        table = table.assign(run=table["rank"].map("LoRA r = {:g}".format))
        lines(ax, dataclasses.replace(study, table=table), "lambda", y)
        if y == "forgetting":
            ax.axhline(0, color="black", linestyle=":", linewidth=1)
        ax.axvline(1, color="gray", linewidth=0.8)
        ax.set_xlabel("λ: scale of the top intruders (1: as tuned, 0: removed)")
        ax.set_ylabel(words)

    return draw


drawn(__file__, "intervention", against_scale("forgetting", "forgetting (nats)"), against_scale("accuracy", "accuracy"))
