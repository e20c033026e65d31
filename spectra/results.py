"""Comparisons on disk: JSON (nested), CSV and Parquet (one row a matrix, skipped ones too), and back again."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .comparison import Comparison, matrices_frame, skipped_frame
from .errors import ResultError
from .files import whole_file

SCHEMA_VERSION = 1
_HEADER = ["base", "tuned", "k", "epsilon", "side"]


def to_json(results: Sequence[Comparison]) -> bytes:
    """One object for one comparison, a list of them for several. NaN becomes null."""
    documents = [_document(result) for result in results]
    text = json.dumps(documents[0] if len(documents) == 1 else documents, allow_nan=False, indent=1)
    return (text + "\n").encode()


def to_csv(results: Sequence[Comparison]) -> bytes:
    """The flat table; lists as JSON arrays."""
    flat = _flat(results)
    for column in flat:
        if flat[column].map(lambda cell: isinstance(cell, list)).any():
            flat[column] = flat[column].map(lambda cell: json.dumps(cell) if isinstance(cell, list) else cell)
    return str(flat.to_csv(index=False)).encode(errors="replace")


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
        table = result.worst_first()[columns]
        lines += [f"**{result.tuned}** against **{result.base}**: {result.summary()}.", ""]
        lines += ["| " + " | ".join(columns) + " |", "|:--" + "|--:" * (len(columns) - 1) + "|"]
        for row in table.itertuples(index=False):
            cells = [
                "–" if pd.isna(cell) else f"{cell:.3g}" if isinstance(cell, float) else str(cell).replace("|", "\\|")
                for cell in row
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).encode(errors="replace")


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
    try:
        return _READERS[path.suffix](path)
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file; save a result there with -o first") from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
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
        "num_intruders": result.num_intruders,
        "counts": {f"{epsilon:g}": result.count(epsilon) for epsilon in result.epsilons},
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


def _from_document(document: dict[str, Any]) -> Comparison:
    version = document["schema_version"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, this spectra reads {SCHEMA_VERSION}")
    return Comparison(
        **{field: document[field] for field in _HEADER},
        matrices=matrices_frame(document["matrices"]),
        skipped=skipped_frame(document["skipped"]),
        provenance=document["provenance"],
    )


def _read_json(path: Path) -> list[Comparison]:
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return [_from_document(document) for document in (loaded if isinstance(loaded, list) else [loaded])]


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
    for column in ("skipped", "problem"):
        if column not in flat:
            flat[column] = None
    last = ["skipped", "problem", "provenance"]
    return flat[[c for c in flat if c not in last] + last]


def _from_flat(flat: pd.DataFrame) -> list[Comparison]:
    results = []
    for _, group in flat.groupby("comparison", sort=True):
        first = group.iloc[0]
        is_skipped = group["skipped"].notna()
        measured = group[~is_skipped].drop(
            columns=["skipped", "problem", "provenance", "schema_version", "comparison", *_HEADER]
        )
        left_out = group[is_skipped][["name", "skipped", "problem"]].rename(columns={"skipped": "reason"})
        document = {
            "schema_version": int(first["schema_version"]),
            "base": str(first["base"]),
            "tuned": str(first["tuned"]),
            "k": int(first["k"]),
            "epsilon": float(first["epsilon"]),
            "side": str(first["side"]),
            "matrices": measured.to_dict("records"),
            "skipped": left_out.to_dict("records"),
            "provenance": json.loads(first["provenance"]),
        }
        results.append(_from_document(document))
    return results


def _read_csv(path: Path) -> list[Comparison]:
    texts = ["base", "tuned", "side", "name", "module", "method", "note", "skipped", "provenance"]
    flat = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    for column in flat:
        texts = flat[column].dropna()
        if len(texts) and texts.map(lambda cell: isinstance(cell, str) and cell.startswith("[")).all():
            flat[column] = flat[column].map(lambda cell: json.loads(cell) if isinstance(cell, str) else cell)
    return _from_flat(flat)


def _read_parquet(path: Path) -> list[Comparison]:
    import pyarrow.parquet

    # Through Arrow's own lists: pandas would give arrays, and arrays of arrays for the cosines.
    return _from_flat(pd.DataFrame(pyarrow.parquet.read_table(path).to_pylist()))


_READERS: dict[str, Callable[[Path], list[Comparison]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
