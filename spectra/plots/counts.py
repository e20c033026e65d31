"""How many intruders at each threshold and each k (arXiv 2410.21228, Fig. 4 and Fig. 15)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ..comparison import Comparison
from .style import axes_or_new, line_styles, short_label


def plot_count_by_epsilon(
    results: Comparison | Sequence[Comparison], *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the number of intruders against ε, one line a result; no new comparison is run.

    Where the bounds of a certified result leave the number open, a band stands for the line. The grey band is where a
    random direction would not even count: below the 99% point of its best cosine.

    Parameters
    ----------
    results : Comparison or sequence of them
    labels : sequence of str, optional
        By default what each result is called.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = _as_list(results)
    ax = axes_or_new(ax)
    grid = np.linspace(0.02, 1.0, 50)
    chance = max(float(result.matrices["null_cosine_q99"].max()) for result in results)
    ax.axvspan(0, chance, color="0.9", label="chance (99%)")
    for result, label, style in zip(results, _labels(results, labels), line_styles(), strict=False):
        points = np.union1d(grid, result.epsilons)
        least, most = np.array([result.count_bounds(e) for e in points]).T
        ax.plot(points, np.where(least == most, least, np.nan), label=label, markevery=5, **style)
        ax.fill_between(points, least, most, color=style["color"], alpha=0.15, linewidth=0)
    ax.axvline(results[0].epsilon, color="gray", linewidth=0.8)
    ax.set_xlim(0, 1)
    ax.set_yscale("symlog", linthresh=1)  # from none to all: the first few matter as much as the last hundreds
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.set_xlabel(f"ε: best cosine below which a vector counts (line: {results[0].epsilon:g})")
    ax.set_ylabel(f"intruder dimensions (k = {results[0].k})")
    ax.legend(edgecolor="none", framealpha=1, fontsize=8)
    return ax


def plot_count_by_k(
    results: Comparison | Sequence[Comparison], *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the number of intruders against ``k``, up to the ``k`` that was examined, one line a result.

    Parameters
    ----------
    results : Comparison or sequence of them
    labels : sequence of str, optional
        By default what each result is called.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = _as_list(results)
    ax = axes_or_new(ax)
    for result, label, style in zip(results, _labels(results, labels), line_styles(), strict=False):
        most = max(map(len, result.matrices["max_cosine"]))  # there may be fewer than k
        ks = range(most + 1)
        ax.plot(ks, [result.count(k=k) for k in ks], label=label, markevery=max(1, most // 10), **style)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("k: leading singular vectors examined per matrix")
    ax.set_ylabel(f"intruder dimensions (ε = {results[0].epsilon:g})")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _as_list(results: Comparison | Sequence[Comparison]) -> list[Comparison]:
    results = [results] if isinstance(results, Comparison) else list(results)
    for result in results:
        result.check_compared()
    return results


def _labels(results: Sequence[Comparison], labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return [short_label(result) for result in results]
    if len(labels) != len(results):
        raise ValueError(f"{len(labels)} labels for {len(results)} results")
    return list(labels)
