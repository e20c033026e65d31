"""Names from strangers' files on their way to a terminal, Markdown, HTML, a figure or a CSV file.

A tensor may be called anything: escape sequences that rewrite a terminal, line feeds that forge a row, a formula that a
spreadsheet runs. There is one function for each place.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pandas as pd

# Of CommonMark and GitHub's tables; an underscore within a word means nothing there.
_MARKDOWN = re.compile(r"[\\`*{}\[\]<>|~#&$]|(?<![^\W_])_|_(?![^\W_])")
_FORMULA = ("=", "+", "-", "@")


def printable(text: str, most: int | None = None) -> str:
    r"""`text` on one line for a terminal: whatever is not printed as a character is shown as its escape.

    That is control characters, line ends, characters that turn the direction of writing or have no width, and halves of
    characters. What is longer than `most` loses its middle.

    Examples
    --------
    >>> printable("a\x1b[2Jb\u202ec")
    'a\\x1b[2Jb\\u202ec'
    >>> printable("layers.10.mlp.up_proj", most=11)
    'laye…p_proj'
    """
    if most is not None and len(text) > most:
        tail = (most - 1) * 2 // 3
        text = text[: most - 1 - tail] + "…" + text[len(text) - tail :]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: Any) -> str:
    """Any value as Python writes it, in a message: printable, and never longer than a line takes."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python itself refuses to write more than 4,300 digits
        return f"a number of {value.bit_length()} bits"
    return printable(repr(value), 80)


def markdown(text: str) -> str:
    r"""`text` for a Markdown table or paragraph, where it shows as it is and means nothing.

    Examples
    --------
    >>> markdown("a|b <i> q_proj _c_")
    'a\\|b \\<i\\> q_proj \\_c\\_'
    """
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))


def html_text(text: str) -> str:
    """`text` for HTML, within an element or a quoted attribute."""
    return html.escape(printable(text))


def figure_text(text: str) -> str:
    """`text` for a figure: matplotlib would read what stands between two dollar signs as a formula."""
    return printable(text).replace("$", r"\$")


def csv_text(text: str) -> str:
    r"""`text` for a cell of a CSV file; `from_csv_text` gives it back.

    What a spreadsheet would take for a formula, and what holds characters that are not printed, begins with an
    apostrophe, which a spreadsheet takes for "this is text", and is written with JSON's escapes.

    Examples
    --------
    >>> csv_text("q_proj"), csv_text("=1+1"), csv_text("a\nb")
    ('q_proj', "'=1+1", "'a\\nb")
    """
    if text.isprintable() and not text.startswith(("'", *_FORMULA)):
        return text
    return "'" + json.dumps(text)[1:-1].replace("\x7f", "\\u007f")


def from_csv_text(cell: str) -> str:
    """What `csv_text` was given.

    Raises
    ------
    ValueError
        If the cell begins with an apostrophe and is none of `csv_text`'s.
    """
    return str(json.loads(f'"{cell[1:]}"')) if cell.startswith("'") else cell


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV in UTF-8: text through `csv_text`, lists as JSON."""
    cells = {csv_text(str(name)): table[name].map(_csv_cell) for name in table}
    return str(pd.DataFrame(cells).to_csv(index=False)).encode()


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, str):
        return csv_text(cell)
    return json.dumps(cell) if isinstance(cell, list) else cell
