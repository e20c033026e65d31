"""Intruders of LoRA's variants at rank 8; rsLoRA also at the rate that makes its scale LoRA's."""

import dataclasses

from gallery import drawn

from spectra import plot_sweep


def draw(study, ax):
    table = study.table
    names = table["method"] + "\n" + table["learning_rate"].map("{:.2g}".format)
    study = dataclasses.replace(study, table=table.assign(variant=names))
    plot_sweep(study, "variant", "num_intruders_0.8", ax=ax)
    ax.containers[0].lines[0].set_linestyle("none")
    ax.set_xlabel("method and rate")


drawn(__file__, "variants", draw)
