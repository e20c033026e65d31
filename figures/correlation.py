"""Intruders against forgetting and accuracy (paper: Fig. 11), and the size of the update against forgetting.

Every saved run that learned something; forgetting up to the loss of a model that tells nothing.
"""

import dataclasses

from gallery import drawn

from spectra import plot_correlation


def against(x, y="forgetting"):
    def draw(study, ax):
        table = study.table[study.table["accuracy"] > study.table["least_accuracy"]]
        table = table.assign(forgetting=table["forgetting"].clip(upper=table["ceiling"]))
        plot_correlation(dataclasses.replace(study, table=table), x, y, ax=ax)
        if x == "relative_delta":
            ax.set_xscale("log")
            ax.set_xticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
            ax.minorticks_off()

    return draw


COUNT = "num_intruders_0.8"
drawn(__file__, "correlation", against(COUNT), against(COUNT, "accuracy"), against("relative_delta"))
