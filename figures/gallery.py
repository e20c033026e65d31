"""What the figures share: one panel a base, drawn from the saved table of a study, saved beside the script."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import spectra

RESULTS = Path(__file__).parents[1] / "analyses" / "results"
NAMES = {"encoder": "encoder (MiniLM-L6)", "decoder": "decoder (stories15M)"}


def drawn(script: str, study: str, *rows: Callable[[spectra.Study, Axes], Any]) -> None:
    """Draw each of `rows` for every base that the study has a table of; save as SVG, the same bytes every time."""
    tables = {base: RESULTS / f"{study}-{base}.parquet" for base in NAMES}
    there = {base: spectra.Study.read(path) for base, path in tables.items() if path.exists()}
    if not there:
        print(f"no table of {study} in {RESULTS}: run analyses/{study}.py first")
        return
    figure = Figure(figsize=(4.6 * len(there), 3.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(there), squeeze=False)
    for column, (base, table) in enumerate(there.items()):
        for row, draw in enumerate(rows):
            draw(table, axes[row][column])
        title = axes[0][column].get_title()
        axes[0][column].set_title(NAMES[base] + (f"\n{title}" if title else ""), fontsize=9)
    with rc_context({"svg.hashsalt": "spectra"}):
        figure.savefig(Path(script).with_suffix(".svg"), metadata={"Date": None})


def picked(study: spectra.Study) -> spectra.Study:
    """The runs at each method's picked rate."""
    return dataclasses.replace(study, table=study.table[study.table["picked"]])


def only(study: spectra.Study, **wanted: Any) -> spectra.Study:
    """The rows with these values."""
    table = study.table
    for column, value in wanted.items():
        table = table[table[column] == value]
    return dataclasses.replace(study, table=table)
