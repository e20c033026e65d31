"""Leading singular values before and after tuning, with the intruders marked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..comparison import Comparison
from ..escaping import figure_text
from .style import BASE, INTRUDER, axes_or_new


def plot_spectrum(result: Comparison, name: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the ``k`` leading singular values of base and tuned weights of one matrix.

    Parameters
    ----------
    result : Comparison
        Compare with a larger ``k`` to see more of the spectrum.
    name : str, optional
        The matrix, or a part of its name that only it has; by default the worst one.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    row = result.examined(name)
    ax = axes_or_new(ax)
    ranks = range(1, len(row["singular_values"]) + 1)
    ax.plot(ranks, row["base_singular_values"], color=BASE, linestyle="--", marker="s", markersize=4, label="base")
    ax.plot(ranks, row["singular_values"], color="black", marker="o", markersize=4, label="tuned")
    marked = row["intruders"]
    ax.plot(
        [j + 1 for j in marked],
        [row["singular_values"][j] for j in marked],
        color=INTRUDER,
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgewidth=1.8,
        label=f"intruder ({len(marked)})",
    )
    ax.set_ylim(0, 1.1 * max(*row["singular_values"], *row["base_singular_values"]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("index of the singular value, largest first")
    ax.set_ylabel("singular value (units of the weights)")
    ax.set_title(figure_text(row["name"]), fontsize=9)
    ax.legend(frameon=False)
    return ax
