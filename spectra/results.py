"""Comparisons on disk: JSON (nested), CSV and Parquet (one row a matrix, skipped ones too), and back again."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .comparison import Comparison
from .errors import ResultError
from .escaping import csv_bytes, from_csv_text, markdown, printable
from .files import whole_file
from .frames import is_vector_column, matrices_frame, skipped_frame
from .result_schema import check_comparison, is_whole
from .tables_on_disk import read_csv, read_parquet
from .text_files import MAX_TEXT, parse_json, read_json

SCHEMA_VERSION = 1
_HEADER = ["base", "tuned", "k", "epsilon", "side"]
_TEXTS = ("base", "tuned", "side", "name", "module", "method", "note", "skipped", "provenance")


def to_json(results: Sequence[Comparison]) -> bytes:
    """One object for one comparison, a list of them for several. NaN becomes null."""
    documents = [_document(result) for result in results]
    text = json.dumps(documents[0] if len(documents) == 1 else documents, allow_nan=False, indent=1)
    return (text + "\n").encode()


def to_csv(results: Sequence[Comparison]) -> bytes:
    """The flat table; lists as JSON arrays, names as `spectra.escaping.csv_text` writes them."""
    return csv_bytes(_flat(results))


def to_parquet(results: Sequence[Comparison]) -> bytes:
    """The flat table; lists as lists."""
    buffer = io.BytesIO()
    _flat(results).to_parquet(buffer, index=False)
    return buffer.getvalue()


def to_markdown(results: Sequence[Comparison]) -> bytes:
    """A table a comparison, worst matrices first, for a pull request or a model card."""
    columns = [
        "name",
        "num_intruders",
        "lowest_cosine",
        "effective_rank",
        "relative_delta",
        "relative_nuclear_norm",
        "spike_ratio",
    ]
    lines = []
    for result in results:
        lines += [f"**{markdown(result.tuned)}** against **{markdown(result.base)}**: {result.summary()}.", ""]
        if result.failed:
            continue
        table = result.worst_first().reindex(columns=columns)  # older results lack some
        lines += ["| " + " | ".join(columns) + " |", "|:--" + "|--:" * (len(columns) - 1) + "|"]
        for row in table.itertuples(index=False):
            cells = [
                "–" if pd.isna(cell) else f"{cell:.3g}" if isinstance(cell, float) else markdown(str(cell))
                for cell in row
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).encode()


# An output format is one function and one row. Markdown is for people and is not read back.
WRITERS: dict[str, Callable[[Sequence[Comparison]], bytes]] = {
    "json": to_json,
    "csv": to_csv,
    "parquet": to_parquet,
    "markdown": to_markdown,
}


def write_comparisons(results: Sequence[Comparison], path: str | Path) -> None:
    """Save comparisons in the format of the suffix: ``.json``, ``.csv`` or ``.parquet``, whole or not at all.

    Raises
    ------
    ResultError
        If the suffix is none of these.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ResultError(f"{path}: a result is saved as one of {', '.join(_READERS)}; choose one of these suffixes")
    content = WRITERS[path.suffix.removeprefix(".")](results)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def read_comparisons(path: str | Path) -> list[Comparison]:
    """Read saved comparisons back, one or several.

    Raises
    ------
    ResultError
        If the file is missing, damaged, not a result, or of a newer schema.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ResultError(f"{path}: not a saved result ({', '.join(_READERS)}); save one with `spectra compare -o`")
    documents = _READERS[path.suffix](path)
    try:
        return [_from_document(document) for document in documents]
    except (ValueError, ResultError) as error:
        raise ResultError(
            f"{path}: not a result of spectra compare ({error}), nor a study saved as .json or .parquet; write it again"
        ) from error


def _document(result: Comparison) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "base": result.base,
        "tuned": result.tuned,
        "k": result.k,
        "epsilon": result.epsilon,
        "side": result.side,
        "num_intruders": None if result.failed else result.num_intruders,
        "counts": {} if result.failed else {f"{epsilon:g}": result.count(epsilon) for epsilon in result.epsilons},
        "num_matrices": result.num_matrices,
        "matrices": _records(result.matrices),
        "skipped": _records(result.skipped),
        "provenance": dict(result.provenance),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    def plain(cell: Any) -> Any:
        if isinstance(cell, list):
            return cell
        if cell is pd.NA or (isinstance(cell, float) and not math.isfinite(cell)):
            return None
        return cell.item() if hasattr(cell, "item") else cell

    return [{column: plain(cell) for column, cell in row.items()} for row in frame.to_dict("records")]


def _from_document(document: Any) -> Comparison:
    if not isinstance(document, dict):
        raise ValueError("it holds no object")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, this spectra reads {SCHEMA_VERSION}")
    check_comparison(document)
    result = Comparison(
        base=document["base"],
        tuned=document["tuned"],
        k=int(document["k"]),
        epsilon=document["epsilon"],
        side=document["side"],
        matrices=matrices_frame(document["matrices"]),
        skipped=skipped_frame(document["skipped"]),
        provenance=document["provenance"],
    )
    for epsilon in [] if result.failed else result.epsilons:
        result.count(epsilon)  # as it says that these are certain
    return result


def _read_json(path: Path) -> list[Any]:
    loaded = read_json(path, limit=MAX_TEXT, error=ResultError)
    return loaded if isinstance(loaded, list) else [loaded]


def _flat(results: Sequence[Comparison]) -> pd.DataFrame:
    """Every matrix of every comparison, skipped ones with a reason; the provenance stands in each first row."""
    rows = []
    for number, result in enumerate(results):
        header = {"schema_version": SCHEMA_VERSION, "comparison": number} | {f: getattr(result, f) for f in _HEADER}
        measured = [header | row for row in _records(result.matrices)]
        skipped = [
            header | {"name": entry["name"], "skipped": entry["reason"], "problem": entry["problem"]}
            for entry in _records(result.skipped)
        ]
        (measured + skipped)[0]["provenance"] = json.dumps(dict(result.provenance))
        rows += measured + skipped
    flat = pd.DataFrame(rows)
    counts = [name for name in flat if name in ("rows", "cols", "layer") or name.startswith("num_intruders")]
    flat = flat.astype(dict.fromkeys(counts, "Int64"))  # whole numbers, though a skipped one has none
    for column in ("skipped", "problem"):
        if column not in flat:
            flat[column] = None
    last = ["skipped", "problem", "provenance"]
    return flat[[c for c in flat if c not in last] + last]


def _from_rows(path: Path, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """The documents that a flat table was made from."""
    comparisons: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        comparisons.setdefault(row.get("comparison"), []).append(row)
    if not all(map(is_whole, comparisons)):
        raise ResultError(f"{path}: not a result of spectra compare (comparison is not a whole number); write it again")
    documents = []
    for _, group in sorted(comparisons.items()):
        header = {name: group[0].get(name) for name in ("schema_version", *_HEADER)}
        left_out = [row for row in group if row.get("skipped") is not None]
        provenance = group[0].get("provenance")
        documents.append(
            {
                **header,
                "matrices": [_matrix(row) for row in group if row.get("skipped") is None],
                "skipped": [
                    {"name": row.get("name"), "reason": row["skipped"], "problem": row.get("problem")}
                    for row in left_out
                ],
                "provenance": parse_json(provenance, f"{path}, provenance", error=ResultError)
                if isinstance(provenance, str)
                else None,
            }
        )
    return documents


def _matrix(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not of the matrix; a list that is missing is one that an older result, or this side, has not."""
    aside = {"schema_version", "comparison", *_HEADER, "skipped", "problem", "provenance"}
    return {
        name: cell for name, cell in row.items() if name not in aside and not (cell is None and is_vector_column(name))
    }


def _read_csv(path: Path) -> list[Any]:
    flat = read_csv(path, dtype=str, keep_default_na=False, error=ResultError)
    columns = {str(name): [_from_cell(path, str(name), cell) for cell in flat[name]] for name in flat}
    return _from_rows(path, [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)])


def _from_cell(path: Path, column: str, cell: Any) -> Any:
    """A cell of a CSV file by its column's type."""
    if not isinstance(cell, str):  # a line that is too short
        return None
    if column in ("skipped", "provenance") and not cell:
        return None
    try:
        if column in _TEXTS:
            return from_csv_text(cell)
        if cell in ("", "True", "False"):
            return {"": None, "True": True, "False": False}[cell]
        return parse_json(cell, column, error=ResultError) if cell.startswith("[") else float(cell)
    except (ValueError, ResultError) as error:
        raise ResultError(f"{path}: {column} holds {printable(cell, 40)!r} ({error}); write it again") from error


def _read_parquet(path: Path) -> list[Any]:
    # Through Arrow's own lists: pandas would give arrays, and arrays of arrays for the cosines.
    return _from_rows(path, read_parquet(path, error=ResultError).to_pylist())


_READERS: dict[str, Callable[[Path], list[Any]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
