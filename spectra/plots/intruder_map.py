"""Where the intruders are: layer by module."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..comparison import Comparison
from ..escaping import figure_text
from .style import axes_or_new

_MAX_NUMBERED = 40  # layers beyond which a number in each cell would not be legible


def plot_intruder_map(result: Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw the number of intruders per layer and module as a heat map; parts and experts of a module are summed.

    Cells that were not compared are grey with a dot; matrices outside any layer stand in the column "–".

    Parameters
    ----------
    result : Comparison
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    result.check_compared()
    table = result.matrices.assign(module=result.matrices["module"].str.replace(r"\[\d+\]$", "", regex=True))
    layers = sorted(set(table["layer"].dropna().astype(int)))
    columns: list[int | None] = [*layers, *([None] if table["layer"].isna().any() else [])]
    modules = list(dict.fromkeys(table["module"]))
    counts = np.full((len(modules), len(columns)), np.nan)
    for row in table.itertuples(index=False):
        at = modules.index(row.module), columns.index(None if pd.isna(row.layer) else int(row.layer))
        if not pd.isna(row.num_intruders):  # a zero base has no count
            counts[at] = np.nan_to_num(counts[at]) + row.num_intruders
    ax = axes_or_new(ax, width=max(5.0, 2.6 + 0.34 * len(columns)), height=max(2.6, 1.2 + 0.34 * len(modules)))
    ax.set_facecolor("0.88")
    largest = float(np.nanmax(counts, initial=1.0))
    image = ax.imshow(counts, cmap="Blues", vmin=0, vmax=largest, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        if np.isnan(count):
            ax.text(j, i, "·", ha="center", va="center", color="black")
        elif len(columns) <= _MAX_NUMBERED:
            dark = count > 0.55 * largest
            ax.text(j, i, f"{count:.0f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    every = max(1, len(columns) // 24)
    ticks = range(0, len(columns), every)
    ax.set_xticks(ticks, ["–" if columns[t] is None else str(columns[t]) for t in ticks])
    ax.set_yticks(range(len(modules)), map(figure_text, modules), fontsize=8)
    ax.set_xlabel("layer")
    ax.set_title(f"{result.num_intruders} intruders (k = {result.k}, ε = {result.epsilon:g})", fontsize=9)
    ax.figure.colorbar(image, ax=ax, label="intruder dimensions", ticks=MaxNLocator(integer=True))
    return ax
