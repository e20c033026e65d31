"""Intruders, and what is learned, against the learning rate, a line a rank."""

import dataclasses

from gallery import drawn, lines


def column(name, words):
    def draw(study, ax):
        labels = study.table["rank"].map(lambda rank: f"r = {rank:g}" if rank == rank else "full")
        lines(ax, dataclasses.replace(study, table=study.table.assign(run=labels)), "learning_rate", name)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel(words)

    return draw


drawn(__file__, "learning_rate", column("num_intruders_0.8", "intruders (ε = 0.8)"), column("accuracy", "accuracy"))
