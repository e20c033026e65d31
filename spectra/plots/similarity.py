"""Similarity of leading singular vectors before and after tuning (arXiv 2410.21228, Fig. 1-3)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..comparison import Comparison
from ..escaping import figure_text
from .style import INTRUDER, axes_or_new


def plot_similarity(result: Comparison, name: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw ``|cos(x_i, u_j)|`` of the ``k`` leading singular vectors of one matrix, intruder columns outlined.

    A column is an intruder by its best cosine with **all** base vectors, of which the ``k`` leading ones are shown.

    Parameters
    ----------
    result : Comparison
    name : str, optional
        The matrix, or a part of its name that only it has; by default the worst one.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    row = result.examined(name)
    cosines = np.array(row["cosines"], dtype=float)  # (base i, tuned j)
    ax = axes_or_new(ax, width=4.6, height=4.0)
    image = ax.imshow(cosines, cmap="Greys", vmin=0, vmax=1, origin="upper")
    for j in row["intruders"]:
        ax.add_patch(Rectangle((j - 0.5, -0.5), 1, len(cosines), fill=False, edgecolor=INTRUDER, linewidth=2.0))
    every = max(1, len(cosines) // 10)
    ticks = range(0, len(cosines), every)
    ax.set_xticks(ticks, [str(t + 1) for t in ticks])
    ax.set_yticks(ticks, [str(t + 1) for t in ticks])
    ax.set_xlabel("tuned singular vector $u_j$, outlined: intruder")
    ax.set_ylabel("base singular vector $x_i$")
    ax.set_title(f"{figure_text(row['name'])}\n{len(row['intruders'])} intruder(s), ε = {result.epsilon:g}", fontsize=9)
    ax.figure.colorbar(image, ax=ax, label="$|\\cos(x_i, u_j)|$")
    return ax
