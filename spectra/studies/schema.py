"""What the table of a saved study must hold, whatever was done to the file since."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..result_schema import is_missing, is_number

# Columns that are text wherever they stand; any further one may be text throughout or numbers throughout.
_TEXTS = ("run", "status", "reason", "method", "modules", "task", "trained_on", "target", "model")
_NUMBERS = re.compile(
    r"(num|percent|mean)_\w.*|\w+_standard_error|\w+_(rank|share|ratio|scale|value)|accuracy|perplexity|(task_)?loss|rise|"
    r"forgetting(_\w+)?|lambda|steps?|stage|seed|rank|alpha|learning_rate|epochs|relative_delta|relative_nuclear_norm"
)
# Without these a table of this kind cannot be shown or drawn.
_NEEDED = {
    "sweep": ("run", "status", "reason", "method"),
    "forgetting": ("model", "loss", "standard_error", "rise", "rise_standard_error"),
    "intervention": ("target", "lambda"),
    "continual": ("stage", "task", "accuracy"),
    "dynamics": ("step",),
}
_ALWAYS_THERE = ("run", "status", "target", "lambda", "stage", "task", "step", "model")


def checked_table(kind: str, table: pd.DataFrame, provenance: Any) -> pd.DataFrame:
    """The table of a study that was read, infinite numbers missing as in JSON.

    Raises
    ------
    ValueError
        In a clause that names the column, if it is no table of such a study.
    """
    _check_provenance(kind, provenance)
    needed = _NEEDED.get(kind, ())
    if not table.columns.is_unique or not all(isinstance(name, str) for name in table):
        raise ValueError("its columns do not have a name each")
    if lacking := [name for name in needed if name not in table]:
        raise ValueError(f"column {lacking[0]} is missing")
    if not len(table) and needed:
        raise ValueError("it has no rows")
    columns = {}
    for name in table:
        cells = [math.nan if isinstance(cell, float) and math.isinf(cell) else cell for cell in table[name].tolist()]
        cells = [None if cell is pd.NA else cell for cell in cells]
        if name in _ALWAYS_THERE and name in needed and any(map(is_missing, cells)):
            raise ValueError(f"column {name} has empty cells")
        kinds = {_kind(cell) for cell in cells if not is_missing(cell)}
        expected = {"text"} if name in _TEXTS else {"numbers"} if _NUMBERS.fullmatch(name) else None
        if "other" in kinds or len(kinds) > 1 or (expected is not None and not kinds <= expected):
            words = expected.pop() if expected else "of one kind, text or numbers"
            raise ValueError(f"column {name} is not all {words}")
        columns[name] = cells
    if kind == "sweep" and not set(columns["status"]) <= {"done", "failed"}:
        raise ValueError("column status is neither done nor failed")
    infinite = {name: table[name].abs() != math.inf for name in table if table[name].dtype.kind == "f"}
    objects = {
        name: [None if is_missing(cell) else cell for cell in columns[name]]
        for name in table
        if table[name].dtype == object
    }
    return table.assign(
        **{name: table[name].where(finite) for name, finite in infinite.items() if not finite.all()},
        **{name: pd.Series(cells, dtype=object, index=table.index) for name, cells in objects.items()},
    )


def _kind(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true or false"
    return "text" if isinstance(cell, str) else "numbers" if is_number(cell) else "other"


def _check_provenance(kind: str, provenance: Any) -> None:
    if not isinstance(provenance, Mapping):
        raise ValueError("provenance is not an object")
    if kind == "forgetting" and not isinstance(provenance.get("objective"), str):
        raise ValueError("objective of the provenance is not a text")
