from __future__ import annotations

import csv
import io
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra.escaping import csv_bytes, csv_text, figure_text, from_csv_text, html_text, markdown, printable

# What a stranger may call a tensor, each with what it would do.
NAMES = {
    "clears the screen": "a\x1b[2J\x1b[Hb",
    "sets the title": "a\x1b]0;owned\x07b",
    "an 8-bit escape": "a\x9b31mb",
    "a forged row": "a\n  layers.0  0  ok\nb",
    "back to the line's start": "a\r0 intruders",
    "backspaces": "abc\b\b\bxyz",
    "a line separator": "a\u2028b\u2029c\x85d",
    "turns the direction": "a\u202efdp.exe\u2066\u2069",
    "no width": "a\u200bb\u2060c\ufeffd",
    "half a character": "a\ud800b",
    "NUL and DEL": "a\0b\x7fc",
    "a formula": "=HYPERLINK(1)",
    "a formula after plus": "+1",
    "a formula after minus": "-2+3",
    "a formula after at": "@SUM(1)",
    "a formula after a tab": "\t=1",
    "a formula after a return": "\r=1",
    "an apostrophe": "'x",
    "an escape of ours": "'\\u001b",
    "backslashes": "C:\\new\\table",
    "rich's markup": "[bold]a[/]",
    "a cell's end": "a|b",
    "a link": "[a](http://b) <img src=x onerror=y> `c` &amp; *d* ~~e~~ #1",
    "the script's end": "</script><script>alert(1)</script>",
    "an attribute's end": "a\" onmouseover='x",
    "a formula of TeX": "a$\\frac{b$ c^$",
    "empty": "",
}
of_each = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
names = st.one_of(st.text(), st.text(st.sampled_from("=+-@'\\\"|$[]\t\r\n\x1b\x7f\u202e\ud800ab")))


def is_harmless(text: str) -> bool:
    """Neither a control character, nor one that turns the writing, has no width or ends a line."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


@of_each
def test_nothing_but_characters_reaches_a_terminal(name: str) -> None:
    for shown in (printable(name), markdown(name), html_text(name), figure_text(name), csv_text(name)):
        assert is_harmless(shown)
        shown.encode()


def test_the_check_sees_what_is_harmful() -> None:
    assert sum(not is_harmless(name) for name in NAMES.values()) > 10
    assert is_harmless("layers.0.q_proj é 名前 ‖ΔW‖")


@pytest.mark.parametrize("name", ["layers.0.self_attn.q_proj", "c_attn[q]", "名前", "C:\\models", "a b"])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert printable(name) == name
    assert csv_text(name) == name


@given(names)
def test_any_name_is_read_back_from_csv(name: str) -> None:
    cell = csv_text(name)
    assert from_csv_text(cell) == name
    assert is_harmless(cell)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.lists(names, min_size=1, max_size=5), st.text(max_size=9).map(lambda text: "=\t" + text))
def test_a_csv_file_has_a_line_a_row(cells: list[str], heading: str) -> None:
    content = csv_bytes(pd.DataFrame({heading: pd.Series(cells, dtype=object), "n": range(len(cells))})).decode()
    assert content.count("\n") == len(cells) + 1
    rows = list(csv.reader(io.StringIO(content)))
    assert [from_csv_text(row[0]) for row in rows] == [heading, *cells]


@pytest.mark.parametrize("cell", ["'a\"b", "'\\", "'\\u12"])
def test_an_edited_cell_is_a_value_error(cell: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|Invalid|Unterminated|Extra"):
        from_csv_text(cell)


def test_markdown_shows_names_as_they_are() -> None:
    assert markdown("layers.0.q_proj") == "layers.0.q_proj"
    assert markdown("__a__") == "\\_\\_a\\_\\_"
    assert "<" not in markdown("<img>").replace("\\<", "")


def test_long_names_lose_their_middle() -> None:
    assert len(printable("a" * 1_000_000, most=100)) == 100
    assert printable("x" * 50 + "tail", most=12).endswith("tail")
    assert printable("short", most=5) == "short"
