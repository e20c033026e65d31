"""Tables for a terminal, as wide as it is."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spectra.escaping import printable

_MAX_ROWS = 25
_LONGEST = 2000  # characters of a line or a cell
_PIPE_WIDTH = 120
_MIN_NAME, _MAX_NAME = 14, 40


def comparison_text(results: Sequence[Any], *, to_file: bool = False) -> str:
    """Every comparison as a table: worst matrices first, totals last, what was skipped below."""
    console = _console(to_file)
    for result in results:
        _print_comparison(console, result)
    if len(results) > 1:
        table = Table(box=None, title="All", title_justify="left", pad_edge=False)
        table.add_column("tuned", overflow="fold")
        for heading in ("intruders", "matrices"):
            table.add_column(heading, justify="right")
        for result in results:
            intruders = "–" if result.failed else str(result.num_intruders)
            table.add_row(result.tuned, intruders, str(result.num_matrices))
        console.print(table)
    return _text(console)


def matrices_text(label: str, kind: str, rows: Sequence[dict[str, Any]], skipped: Any, *, to_file: bool = False) -> str:
    """The listing of `spectra inspect`."""
    console = _console(to_file)
    headings = list(rows[0])
    table = Table(box=None, title=f"{label} ({kind})", title_justify="left", pad_edge=False)
    for heading in headings:
        text = isinstance(rows[0][heading], str)
        table.add_column(heading, justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row.values()))
    console.print(table)
    console.print()
    console.print(
        f"{len(rows)} matrices, {sum(r['rows'] * r['cols'] for r in rows):,} entries; {skipped_text(skipped)}",
        highlight=False,
    )
    return _text(console)


def plain_text(frame: Any, *, to_file: bool = False) -> str:
    """A data frame as it is; what is missing, as a dash."""
    console = _console(to_file)
    table = Table(box=None, pad_edge=False)
    for column in frame:
        numeric = frame[column].dtype.kind in "if"
        table.add_column(str(column).replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    console.print(table)
    return _text(console)


# What a terminal shows of a study; the files hold every column.
_SHOWN = {
    "sweep": r"accuracy|perplexity|num_intruders_.*|effective_rank|forgetting",  # and what was varied
    "forgetting": r"model|loss|standard_error|rise|rise_standard_error|reason",
    "intervention": r"target|lambda|accuracy|perplexity|forgetting|forgetting_over_intruder.*|percent_.*",
    "continual": r"stage|trained_on|task|accuracy|num_intruders|num_new_intruders|forgetting",
    "dynamics": r"step|accuracy|num_intruders.*|spike_ratio",
}


def study_text(study: Any, *, to_file: bool = False) -> str:
    """The columns of a study that say most; of those, what is empty throughout is left out."""
    table, below = study.table, ""
    wanted = [name for name in table if re.fullmatch(_SHOWN[study.kind], name)]
    if study.kind == "sweep":
        failed = table[table["status"] == "failed"]
        below = "".join(
            f"\nfailed: {printable(run)}: {printable(reason)}"
            for run, reason in zip(failed["run"], failed["reason"], strict=True)
        )
        table = table[table["status"] == "done"]
        wanted = [*_told_apart_by(table), *wanted]
    shown = table[[name for name in wanted if name in table]]
    shown = shown.loc[:, (shown.notna() & (shown != "")).any()]
    return plain_text(shown.rename(columns=_short), to_file=to_file) + below.lstrip("\n") + ("\n" if below else "")


def _told_apart_by(table: Any) -> list[str]:
    """What a sweep varied, α only where it is no function of the rank; names, where some are of no known method."""
    from spectra.studies.columns import FIELDS

    lead = [*([] if table["method"].notna().all() else ["run"]), "method", "rank", "learning_rate", "seed"]
    varied = [name for name in FIELDS if name in table and table[name].nunique(dropna=False) > 1]
    if "alpha" in varied and table.groupby(["method", "rank"], dropna=False)["alpha"].nunique().max() <= 1:
        varied.remove("alpha")
    return [*lead, *(name for name in varied if name not in lead)]


def _short(column: str) -> str:
    """A heading for a narrow terminal."""
    if column.startswith("num_intruders_"):
        return f"intruders {column.removeprefix('num_intruders_')}"
    short = {"learning_rate": "rate", "effective_rank": "eff rank", "num_intruders": "intruders"}
    short |= {"num_new_intruders": "new intruders", "standard_error": "± se", "rise_standard_error": "± se of rise"}
    short |= {"percent_bought_back": "% back", "percent_accuracy_lost": "% accuracy lost"}
    short |= {"forgetting_over_intruder": "over intruder", "forgetting_over_intruder_standard_error": "± se"}
    return short.get(column, column)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"
    return str(value)


def _print_comparison(console: Console, result: Any) -> None:
    if result.failed:
        console.print(f"{result.tuned}: {result.summary()}", highlight=False)
        console.print()
        return
    ordered = result.worst_first()
    shown = ordered if len(ordered) <= _MAX_ROWS + 3 else ordered.head(_MAX_ROWS)
    rest = ordered.iloc[len(shown) :]
    stack = _only_stack(ordered)
    names = [
        printable(name.removeprefix(stack)) + (" *" if note else "")
        for name, note in zip(shown["name"], shown["note"], strict=True)
    ]
    columns = [
        [heading, *(cell(row) for _, row in shown.iterrows()), total(ordered)] for heading, cell, total in _COLUMNS
    ]
    columns = _that_fit(columns, console.width - min(_MAX_NAME, max(_MIN_NAME, *map(len, names))))
    name_width = console.width - sum(max(map(len, column)) + 2 for column in columns)
    title = f"{result.tuned}  against  {result.base}"
    table = Table(box=None, pad_edge=False, show_footer=True, title_justify="left", title=title)
    table.add_column("matrix", footer=f"all {result.num_matrices}", no_wrap=True)
    for column in columns:
        table.add_column(column[0], justify="right", no_wrap=True, footer=column[-1])
    for index, (name, intruders) in enumerate(zip(names, shown["intruders"], strict=True), start=1):
        cells = [printable(name, name_width), *(column[index] for column in columns)]
        table.add_row(*cells, style="bold" if intruders else None)
    if len(rest):
        table.add_row(f"… {len(rest)} more", str(int(rest["num_intruders"].sum())), style="dim")
    console.print(table)
    console.print()
    for line in _remarks(result, stack):
        console.print(line, highlight=False)
    console.print()


# Heading, a row's cell and the footer, the most telling first: a narrow terminal shows the first few.
_COLUMNS: list[tuple[str, Any, Any]] = [
    ("intruders", lambda r: _decimals(r["num_intruders"]), lambda t: str(int(t["num_intruders"].sum()))),
    ("min cos ≤", lambda r: _decimals(r["lowest_cosine"], 2), lambda t: f"{t['lowest_cosine'].min():.2f}"),
    ("eff rank", lambda r: f"{r['effective_rank']:.1f}", lambda t: f"{t['effective_rank'].mean():.1f}"),
    ("‖ΔW‖/‖W0‖", lambda r: _decimals(r["relative_delta"], 3), lambda t: f"{t['relative_delta'].mean():.3f}"),
    (
        "‖ΔW‖*/‖W0‖",
        lambda r: _decimals(r["relative_nuclear_norm"], 2),
        lambda t: f"{t['relative_nuclear_norm'].mean():.2f}",
    ),
    ("spike", lambda r: _decimals(r["spike_ratio"], 3), lambda t: f"{t['spike_ratio'].mean():.3f}"),
    ("energy", lambda r: f"{r['intruder_energy_share']:.1%}", lambda t: f"{t['intruder_energy_share'].mean():.1%}"),
    ("stable rank", lambda r: f"{r['stable_rank']:.1f}", lambda t: f"{t['stable_rank'].mean():.1f}"),
    ("chance cos", lambda r: _decimals(r["null_cosine"], 2), lambda t: f"{t['null_cosine'].mean():.2f}"),
    ("shape", lambda r: f"{r['rows']}×{r['cols']}", lambda t: ""),
]


def _decimals(number: Any, digits: int = 0) -> str:
    """A dash where there is no number: of a zero base."""
    return "–" if pd.isna(number) else f"{number:.{digits}f}"


def _that_fit(columns: list[list[str]], width: int) -> list[list[str]]:
    """As many leading columns as fit, the first in any case."""
    kept: list[list[str]] = []
    for column in columns:
        width -= max(map(len, column)) + 2
        if width < 0 and kept:
            break
        kept.append(column)
    return kept


def _only_stack(table: Any) -> str:
    """What all names with a layer number begin with, e.g. ``encoder.layer.``; empty for several stacks."""
    layered = table.dropna(subset=["layer"])
    tails = layered["layer"].astype(str) + "." + layered["module"]
    stacks = {name[: -len(tail)] for name, tail in zip(layered["name"], tails, strict=True)}
    return stacks.pop() if len(stacks) == 1 else ""


def _remarks(result: Any, stack: str) -> list[str]:
    table = result.matrices
    lines = [f"{result.summary()}."]
    if len(result.epsilons) > 1:
        lines.append("At ε = " + ", ".join(f"{e:g}: {result.count(e)}" for e in result.epsilons) + ".")
    if result.num_intruders:
        chance = table.loc[table["num_intruders"] > 0, "null_novelty"].min()
        lines.append(
            f"{result.count_new()} of these {result.num_intruders} are mostly new: more than half of the vector lies "
            f"outside the base's {2 * result.k} leading directions (of a random vector {chance:.0%} would). The others "
            "mix those directions."
        )
    if result.side == "both":
        lines.append(f"Right side: {int(table['num_intruders_right'].sum())} intruder dimensions.")
    low, high = table["null_intruder_rate"].min(), table["null_intruder_rate"].max()
    rate = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    lines.append(
        f"Chance: a random direction's best cosine stays below {table['null_cosine_q99'].max():.2f} (99%), "
        f"so it would count as an intruder with probability {rate}."
    )
    without = f"Names are without {stack!r}. " if stack else ""
    lines.append(f"{without}Last row: sum of intruders, least cosine, means of the rest.")
    for note in sorted(set(filter(None, table["note"]))):
        names = ", ".join(table.loc[table["note"] == note, "name"].head(3))
        lines.append(f"* {names}: {note}")
    dropped = [f"{part!r} of the {side}" for side, part in result.provenance["dropped_prefixes"].items() if part]
    matched = f"{result.provenance['matched']} matrices matched" + (
        f" without {' and '.join(dropped)}" if dropped else ""
    )
    return [*lines, f"{matched}; {skipped_text(result.skipped)}"]


def skipped_text(skipped: Any) -> str:
    """One clause: how many were skipped, by reason, with the first names of each."""
    if not len(skipped):
        return "none skipped."
    parts = []
    for reason, group in skipped.groupby("reason", sort=False):
        names = ", ".join(group["name"].head(2)) + (", …" if len(group) > 2 else "")
        parts.append(f"{len(group)} {reason} ({names})")
    return f"{len(skipped)} skipped: " + "; ".join(parts) + "."


class _Console(Console):
    """Every text that goes into it, as a line or in a table, is made printable."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, _LONGEST), **options)


def _console(to_file: bool) -> Console:
    terminal = sys.stdout.isatty() and not to_file
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    # No markup: names such as `c_attn[q]` are not styles.
    return _Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        no_color="NO_COLOR" in os.environ,
        markup=False,
        emoji=False,
    )


def _text(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)  # as _console made it
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
