"""What the figures share: a fresh axes when none is given, and marks that survive greyscale and colour-blindness."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import PurePath
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..comparison import Comparison
from ..escaping import figure_text, printable

# Okabe & Ito (2008), ordered by lightness from dark on; each with a dash and a marker of its own.
_LINES = (
    ("#000000", "-", "o"),
    ("#0072B2", "--", "s"),
    ("#D55E00", "-.", "^"),
    ("#009E73", ":", "D"),
    ("#CC79A7", (0, (5, 1)), "v"),
    ("#56B4E9", (0, (3, 1, 1, 1)), "P"),
    ("#E69F00", (0, (1, 1)), "X"),
)
INTRUDER = "#D55E00"
BASE = "#0072B2"


def axes_or_new(ax: Axes | None, *, width: float = 5.0, height: float = 3.6) -> Axes:
    """`ax`, or the axes of a new figure in inches that needs no display and no global state."""
    return ax if ax is not None else Figure(figsize=(width, height), layout="constrained").subplots()


def line_styles() -> Iterator[dict[str, Any]]:
    """Keyword arguments of ``Axes.plot``, a different look each."""
    for color, dash, marker in cycle(_LINES):
        yield {"color": color, "linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1.4}


def short_label(result: Comparison) -> str:
    """The last part of what was compared, for a legend."""
    path = PurePath(printable(result.tuned))
    parent = path.parent.name
    generic = path.stem in ("model", "adapter_model", "pytorch_model", "checkpoint")
    label = (parent if generic and parent else path.name) or printable(result.tuned)
    return figure_text(label).replace("_", " ", 1) if label.startswith("_") else figure_text(label)
