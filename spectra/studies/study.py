"""What a study measured: one tidy table and where it came from, in memory, on disk, in a notebook."""

from __future__ import annotations

import io
import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .._version import __version__
from ..comparison import Comparison
from ..errors import ResultError
from ..escaping import csv_bytes, html_text, markdown, printable
from ..files import whole_file
from ..result_schema import is_whole
from ..results import read_comparisons
from ..tables_on_disk import read_parquet
from ..text_files import MAX_TEXT, parse_json, read_json, read_json_object
from .schema import checked_table

SCHEMA_VERSION = 1
KINDS = ("sweep", "forgetting", "intervention", "continual", "dynamics", "counts", "vectors")
_METADATA = b"spectra"


@dataclass(frozen=True, eq=False)  # tables have no truth value to compare by
class Study:
    """A table of measurements, one row each.

    Attributes
    ----------
    kind : str
        One of `KINDS`; what the columns mean is said by the function that made it.
    table : DataFrame
    provenance : Mapping
        Base, text, options, versions.
    """

    kind: str
    table: pd.DataFrame
    provenance: Mapping[str, Any]

    def to_bytes(self, format_: str) -> bytes:
        """The table as ``"json"`` or ``"parquet"`` (with the provenance), ``"csv"`` or ``"markdown"`` (without)."""
        if format_ == "csv":
            return csv_bytes(self.table)
        if format_ == "markdown":
            return _markdown(self.table).encode()
        header = {"schema_version": SCHEMA_VERSION, "kind": self.kind, "provenance": dict(self.provenance)}
        if format_ == "json":
            rows = [{name: _plain(cell) for name, cell in row.items()} for row in self.table.to_dict("records")]
            header["provenance"] = _finite(header["provenance"])
            return (json.dumps(header | {"rows": rows}, indent=1, allow_nan=False) + "\n").encode()
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA: json.dumps(header)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, write_page_checksum=True)
        return buffer.getvalue()

    def write(self, path: str | Path) -> None:
        """Save as ``.json``, ``.parquet`` or ``.csv``, whole or not at all; the first two are read back.

        Raises
        ------
        ResultError
            If the suffix is none of these.
        """
        format_ = Path(path).suffix.removeprefix(".")
        if format_ not in ("json", "parquet", "csv"):
            raise ResultError(f"{path}: a study is saved as .json, .parquet or .csv; choose one of these suffixes")
        content = self.to_bytes(format_)
        with whole_file(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Read one back.

        Raises
        ------
        ResultError
            If the file is not a saved study.
        """
        path = Path(path)
        if path.suffix == ".json":
            header: Any = read_json_object(path, limit=MAX_TEXT, error=ResultError)
            rows = header.get("rows")
        else:
            stored = read_parquet(path, error=ResultError)
            kept = (stored.schema.metadata or {}).get(_METADATA, b"null").decode(errors="replace")
            header, rows = parse_json(kept, f"{path}, metadata", error=ResultError), None
        try:
            if not isinstance(header, dict) or not is_whole(header.get("schema_version")):
                raise ValueError("schema_version is not a whole number")
            if header["schema_version"] > SCHEMA_VERSION:
                raise ResultError(f"{path}: written by a newer spectra; update to read it")
            if header.get("kind") not in KINDS:
                raise ValueError("it is of an unknown kind")
            if path.suffix == ".json" and not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
                raise ValueError("rows is not a list of objects")
            table = pd.DataFrame(rows) if path.suffix == ".json" else stored.to_pandas()
            table = checked_table(header["kind"], table, header.get("provenance"))
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, pa.ArrowException) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise ResultError(f"{path}: not a saved study ({said}); write it again") from error
        return cls(header["kind"], table, header["provenance"])

    def __repr__(self) -> str:
        return f"<Study ({self.kind}) of {len(self.table)} rows: {', '.join(self.table.columns)}>"

    def _repr_html_(self) -> str:
        texts = self.table.select_dtypes(exclude="number")
        printed = self.table.assign(**{name: texts[name].map(lambda cell: printable(str(cell))) for name in texts})
        shown = printed.to_html(index=False, max_rows=30, float_format=lambda v: f"{v:.4g}", border=0)
        return f"<p><b>{html_text(self.kind)}</b></p>{shown}"


def read_saved(paths: Iterable[str | Path]) -> tuple[list[Comparison], list[Study]]:
    """Saved comparisons and studies, whichever each file holds.

    Raises
    ------
    ResultError
        If a file is neither.
    """
    comparisons: list[Comparison] = []
    studies: list[Study] = []
    for path in map(Path, paths):
        if _holds_study(path):
            studies.append(Study.read(path))
        else:
            comparisons += read_comparisons(path)
    return comparisons, studies


def _holds_study(path: Path) -> bool:
    if path.suffix == ".parquet":
        return _METADATA in (read_parquet(path, error=ResultError).schema.metadata or {})
    if path.suffix == ".json":
        found = read_json(path, limit=MAX_TEXT, error=ResultError)
        return isinstance(found, dict) and "kind" in found
    return False  # what is wrong, the reader of comparisons says


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    import peft
    import torch
    import transformers

    found = {"spectra": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return found | {"peft": peft.__version__, "python": platform.python_version()}


def _finite(value: Any) -> Any:
    """The same, with nothing where a number is infinite or none."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else _plain(value)


def _plain(cell: Any) -> Any:
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if cell is pd.NA or cell is None:
        return None
    return cell.item() if hasattr(cell, "item") else cell


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(markdown, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [
            "–" if pd.isna(cell) else f"{cell:.4g}" if isinstance(cell, float) else markdown(str(cell)) for cell in row
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
