"""The tables of a comparison: their columns and types, whether measured now or read back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

# The columns of `Comparison.matrices` that hold one entry a vector; `_right` ones are there for side="both".
VECTOR_COLUMNS = (
    "max_cosine",
    "max_cosine_lower",
    "max_cosine_upper",
    "nearest",
    "singular_values",
    "base_singular_values",
    "novelty",
    "cosines",
)


def is_vector_column(name: str) -> bool:
    """Whether a column of `matrices` holds a list: one entry a vector, or the places of the intruders."""
    return name.removesuffix("_right") in (*VECTOR_COLUMNS, "intruders")


def matrices_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The `matrices` table from its rows, with the same types whether measured now or read back."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for suffix in ("", "_right"):
        for bound in ("lower", "upper"):  # results from before there were bounds are exact
            if f"max_cosine{suffix}" in columns:
                columns.setdefault(f"max_cosine_{bound}{suffix}", columns[f"max_cosine{suffix}"])
    # Column by column into its type at once: changing types afterwards takes longer than measuring a matrix.
    return pd.DataFrame({name: _typed(name, cells) for name, cells in columns.items()})


def _typed(name: str, cells: list[Any]) -> Any:
    if name in ("rows", "cols"):
        return np.array(cells, dtype="int64")
    if name == "layer" or name.startswith("num_intruders"):
        return pd.array([None if cell is None or cell != cell else int(cell) for cell in cells], dtype="Int64")
    if name in ("name", "module", "method", "note"):
        return pd.Series([cell if isinstance(cell, str) else "" for cell in cells], dtype=object)
    if any(isinstance(cell, list) for cell in cells):
        return pd.Series(cells, dtype=object)
    return np.array([np.nan if cell is None else cell for cell in cells], dtype="float64")


def least_cosines(matrices: pd.DataFrame) -> list[list[float]]:
    """What the cosine of each vector is at least: itself where it is known, as with a subspace."""
    columns = (matrices[name] for name in ("max_cosine", "max_cosine_lower", "max_cosine_upper"))
    return [
        [upper if cosine >= upper else lower for cosine, lower, upper in zip(*lists, strict=True)]
        for lists in zip(*columns, strict=True)
    ]


def skipped_frame(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The `skipped` table from its entries."""
    kinds = {"name": object, "reason": object, "problem": bool}
    return pd.DataFrame(
        {name: pd.Series([entry[name] for entry in entries], dtype=kind) for name, kind in kinds.items()}
    )


def vectors_frame(matrices: pd.DataFrame, suffix: str) -> pd.DataFrame:
    """One row an examined vector, of the side that the columns with this suffix are about."""
    columns = {f"{column}{suffix}": column for column in VECTOR_COLUMNS if column != "cosines"}
    if f"novelty{suffix}" not in matrices:  # a result from before it was measured
        unknown = matrices[f"max_cosine{suffix}"].map(lambda cosines: [math.nan] * len(cosines))
        matrices = matrices.assign(**{f"novelty{suffix}": unknown})
    matrices = matrices[matrices[f"max_cosine{suffix}"].map(len) > 0]  # no row of NaN where none was examined
    long = matrices[["name", *columns]].rename(columns=columns).explode(list(columns.values()), ignore_index=True)
    long = long.rename(columns={"singular_values": "singular_value", "base_singular_values": "base_singular_value"})
    long.insert(1, "index", long.groupby("name", sort=False).cumcount())
    cosines = dict.fromkeys(("max_cosine", "max_cosine_lower", "max_cosine_upper", "novelty"), float)
    kinds = cosines | {"singular_value": float, "base_singular_value": float, "nearest": int}
    return long.astype(kinds)
