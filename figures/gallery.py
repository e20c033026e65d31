"""What the figures share: a column a base, drawn from the saved tables of the studies, saved beside the script."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import spectra
from spectra.plots.style import line_styles

RESULTS = Path(__file__).parents[1] / "analyses" / "results"
NAMES = {"encoder": "encoder (MiniLM-L6)", "decoder": "decoder (stories15M)"}
Draw = Callable[[spectra.Study, Axes], Any]


def drawn(script: str, study: str, *rows: Draw | tuple[str, Draw], height: float = 3.5) -> None:
    """Draw each of `rows` for every base that the study has a table of; a row may name another study."""
    bases = [base for base in NAMES if (RESULTS / f"{study}-{base}.parquet").exists()]
    if not bases:
        print(f"no table of {study} in {RESULTS}: run the study of that name first")
        return
    figure = Figure(figsize=(4.6 * len(bases), height * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(bases), squeeze=False)
    for column, base in enumerate(bases):
        for row, one in enumerate(rows):
            name, draw = one if isinstance(one, tuple) else (study, one)
            draw(spectra.Study.read(RESULTS / f"{name}-{base}.parquet"), axes[row][column])
        title = axes[0][column].get_title()
        axes[0][column].set_title(NAMES[base] + (f"\n{title}" if title else ""), fontsize=9)
    saved(script, figure)


def saved(script: str, figure: Figure) -> None:
    """Save as SVG, the same bytes every time."""
    with rc_context({"svg.hashsalt": "spectra"}):
        figure.savefig(Path(script).with_suffix(".svg"), metadata={"Date": None})


def lines(ax: Axes, study: spectra.Study, x: str, y: str) -> None:
    """The mean and standard deviation over seeds of `y` by `x`, a line a run."""
    for (label, group), style in zip(study.table.groupby("run", sort=False), line_styles(), strict=False):
        cells = group.groupby(x)[y]
        ax.errorbar(cells.mean().index, cells.mean(), yerr=cells.std(), label=label, capsize=2, **style)
    outside = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if study.table["run"].nunique() > 4 else {}
    ax.legend(frameon=False, fontsize=8, **outside)


def by_epsilon(study: spectra.Study, ax: Axes) -> None:
    """Counts among the ten leading vectors against ε."""
    lines(ax, only(study, k=10), "epsilon", "num_intruders")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("ε: best cosine below which a vector counts")
    ax.set_ylabel("intruder dimensions (k = 10)")


def by_k(study: spectra.Study, ax: Axes) -> None:
    """Counts at ε = 0.5 against the number of leading vectors examined, up to all."""
    lines(ax, only(study, epsilon=0.5), "k", "num_intruders")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("k: leading vectors examined per matrix, up to all")
    ax.set_ylabel("intruder dimensions (ε = 0.5)")


def only(study: spectra.Study, **wanted: Any) -> spectra.Study:
    """The rows with these values, one or a list of each column's."""
    table = study.table
    for column, value in wanted.items():
        table = table[table[column].isin(value if isinstance(value, list) else [value])]
    return dataclasses.replace(study, table=table)
