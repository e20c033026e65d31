"""Parquet and CSV files of anyone, read within bounds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import SpectraError
from .text_files import MAX_TEXT, read_text, regular_file

_MAX_ROWS = 20_000_000  # a column of nothing but one value takes a few bytes a million rows
_MAX_COLUMNS = 10_000


def read_parquet(path: str | Path, *, error: type[SpectraError] = SpectraError) -> Any:
    """A Parquet file as an Arrow table.

    Raises
    ------
    SpectraError
        As `error`, if it is no regular file, larger than 1 GB as it is or unpacked, has more than 20 million rows or
        10,000 columns, or is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    size = regular_file(path, error=error).st_size
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            about = file.metadata
            unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
            if max(size, unpacked) > MAX_TEXT or about.num_rows > _MAX_ROWS or about.num_columns > _MAX_COLUMNS:
                raise error(
                    f"{path}: {about.num_rows:,} rows in {about.num_columns:,} columns, {max(size, unpacked):,} bytes: "
                    "more than is read of such a file; split it"
                )
            return file.read()
    except (OSError, ValueError, TypeError, OverflowError, MemoryError, pyarrow.ArrowException) as reason:
        said = str(reason).strip().split("\n")[0].rstrip(".")
        raise error(f"{path}: cannot be read as Parquet ({said}); save it again") from reason


def read_parquet_frame(path: str | Path, *, error: type[SpectraError] = SpectraError) -> pd.DataFrame:
    """The same as a data frame, by the file's own types, whatever pandas once noted in it."""
    import pyarrow

    table = read_parquet(path, error=error)
    try:
        return pd.DataFrame(table.to_pandas(ignore_metadata=True))
    except (ValueError, TypeError, OverflowError, MemoryError, pyarrow.ArrowException) as reason:
        said = str(reason).strip().split("\n")[0].rstrip(".")
        raise error(f"{path}: holds what no table takes ({said}); save it again") from reason


def read_csv(path: str | Path, *, error: type[SpectraError] = SpectraError, **options: Any) -> pd.DataFrame:
    """A CSV file in UTF-8 with a line of headings; `options` are those of `pandas.read_csv`.

    Raises
    ------
    SpectraError
        As `error`, if `spectra.text_files.read_text` would, or it has no line of headings, more cells in a line than
        headings, or more than 10,000 columns.
    """
    text = read_text(path, error=error)
    if text.partition("\n")[0].count(",") > _MAX_COLUMNS:
        raise error(f"{path}: more than {_MAX_COLUMNS:,} columns; check that it is the right file")
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except (ValueError, OverflowError, MemoryError) as reason:
        said = str(reason).strip().split("\n")[0].rstrip(".")
        raise error(f"{path}: cannot be read as CSV ({said}); mend it there, or save it again") from reason
