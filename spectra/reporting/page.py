"""The page: verdicts in words, where the intruders are, every number, what was left out, where it came from."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd

from .._version import __version__
from ..comparison import Comparison
from ..escaping import html_text
from ..plots import STUDY_PLOTS
from ..studies.study import Study
from .words import matrix_words, verdict

# Heading, column, digits (None for text).
_COLUMNS = (
    ("intruders", "num_intruders", 0),
    ("least best cosine ≤", "lowest_cosine", 3),
    ("effective rank of ΔW", "effective_rank", 1),
    ("stable rank", "stable_rank", 1),
    ("‖ΔW‖/‖W0‖", "relative_delta", 4),
    ("‖ΔW‖*/‖W0‖", "relative_nuclear_norm", 3),
    ("σ1(ΔW)/σ1(W0)", "spike_ratio", 3),
    ("energy of intruders", "intruder_energy_share", 4),
    ("decided", "method", None),
)


def report(results: Sequence[Comparison] = (), studies: Sequence[Study] = (), *, title: str = "spectra report") -> str:
    """One HTML page that needs nothing else: no network, no file beside it.

    Parameters
    ----------
    results : sequence of Comparison
    studies : sequence of Study
        Sweeps, forgetting, interventions, continual learning, dynamics; each as a figure and a table.
    title : str
    """
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    body = "".join(_comparison(result) for result in results) + "".join(_study(study) for study in studies)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html_text(title)}</title><style>{style}</style></head><body>"
        f"<h1>What fine-tuning did to the weights</h1>{body}"
        f'<p class="note">Written by spectra {__version__}.</p><script>{script}</script></body></html>\n'
    )


def _comparison(result: Comparison) -> str:
    heading = f"<h2>{html_text(result.tuned)} against {html_text(result.base)}</h2>"
    if result.failed:
        return (
            f'<section>{heading}<p class="verdict">{html_text(result.summary())}</p>'
            f"{_skipped(result.skipped)}{_provenance(result.provenance)}</section>"
        )
    table = result.worst_first().reset_index(drop=True)
    found = " found" if result.num_intruders else ""
    options = "".join(f'<option value="{at}">{html_text(name)}</option>' for at, name in enumerate(table["name"]))
    sentences = "".join(f"<li>{html_text(sentence)}</li>" for sentence in verdict(result)[1:])
    return (
        f'<section class="comparison">{heading}'
        f'<p class="verdict{found}">{html_text(verdict(result)[0])}</p><ul>{sentences}</ul>'
        f"<h3>Where they are</h3>{_heat_map(result)}"
        f"<h3>Every matrix</h3>{_matrix_table(table)}"
        f"<h3>Leading singular values</h3><p><label>Matrix <select>{options}</select></label></p>"
        f'<figure class="spectrum"></figure>{_skipped(result.skipped)}{_provenance(result.provenance)}'
        f'<script type="application/json">{_json(_spectra(table))}</script></section>'
    )


def _heat_map(result: Comparison) -> str:
    table = result.worst_first().sort_index()
    layers = [*sorted(set(table["layer"].dropna().astype(int))), *([None] if table["layer"].isna().any() else [])]
    most = max(1, int(table["num_intruders"].fillna(0).max()))
    head = "".join(f"<th>{'–' if layer is None else layer}</th>" for layer in layers)
    lines = []
    for module in dict.fromkeys(table["module"]):
        cells = []
        for layer in layers:
            here = table["layer"].isna() if layer is None else table["layer"] == layer
            rows = table[(table["module"] == module) & here.fillna(False)]
            if not len(rows) or rows["num_intruders"].isna().all():
                cells.append('<td class="none" aria-label="no count">·</td>')
                continue
            count = int(rows["num_intruders"].sum())
            share = min(1.0, count / most)
            tip = "; ".join(matrix_words(row) for _, row in rows.iterrows())
            cells.append(
                f'<td tabindex="0" data-tip="{html_text(tip)}" style="background:{_blue(share)};'
                f'color:{"#fff" if share > 0.55 else "#1c2733"}">{count}</td>'
            )
        lines.append(f'<tr><th class="text" scope="row">{html_text(module)}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table class="map"><thead><tr><th class="text">module \\ layer</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div><output>Point at a cell for its numbers.</output>"
    )


def _blue(share: float) -> str:
    """White to dark blue; lightness alone carries it."""
    light, dark = (0xF3, 0xF7, 0xFB), (0x08, 0x30, 0x6B)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(light, dark, strict=True))


def _matrix_table(table: pd.DataFrame) -> str:
    head = '<th class="text" data-kind="text"><button type="button">matrix</button></th>' + "".join(
        f'<th data-kind="{"text" if digits is None else "number"}"><button type="button">{heading}</button></th>'
        for heading, _, digits in _COLUMNS
    )
    lines = []
    for at, row in table.iterrows():
        name = html_text(row["name"]).replace(".", ".<wbr>")  # where a narrow screen may break it
        cells = [f"<td>{name}{' *' if row['note'] else ''}</td>"]
        for _, column, digits in _COLUMNS:
            cells.append(_cell(row.get(column), digits))
        hit = " class=hit" if row["intruders"] else ""
        lines.append(f'<tr data-at="{at}"{hit}>{"".join(cells)}</tr>')
    notes = "".join(f"<br>* {html_text(note)}" for note in sorted(set(filter(None, table["note"]))))
    return (
        f'<div class="scroll"><table class="rows"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        f'<p class="note">A heading sorts; a row shows its singular values below.{notes}</p>'
    )


def _cell(value: Any, digits: int | None) -> str:
    if digits is None:
        return f'<td class="text">{html_text(str(value))}</td>'
    if pd.isna(value):
        return '<td data-value="">–</td>'
    shown = f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f'<td data-value="{float(value)!r}">{shown}</td>'


def _spectra(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": row["name"],
            "base": row["base_singular_values"],
            "tuned": row["singular_values"],
            "cosines": row["max_cosine"],
            "intruders": row["intruders"],
        }
        for _, row in table.iterrows()
    ]


def _study(study: Study) -> str:
    drawn = STUDY_PLOTS.get(study.kind)
    figure = ""
    if drawn is not None and len(study.table):
        buffer = io.BytesIO()
        drawn(study).figure.savefig(buffer, format="svg")
        data = base64.b64encode(buffer.getvalue()).decode()
        figure = f'<figure><img alt="{html_text(study.kind)}, the table below" src="data:image/svg+xml;base64,{data}"></figure>'
    shown = study.table.loc[:, study.table.notna().any()]
    kinds = ["number" if shown[name].dtype.kind in "if" else "text" for name in shown]
    head = "".join(
        f'<th class="{kind}" data-kind="{kind}"><button type="button">{html_text(str(name).replace("_", " "))}</button></th>'
        for name, kind in zip(shown, kinds, strict=True)
    )
    lines = []
    for row in shown.itertuples(index=False):
        cells = [
            f'<td data-value="{"" if cell != cell else repr(float(cell))}">{"–" if cell != cell else f"{cell:.4g}"}</td>'
            if kind == "number"
            else f'<td class="text">{html_text("–" if pd.isna(cell) else str(cell))}</td>'
            for cell, kind in zip(row, kinds, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<section><h2>{html_text(study.kind.capitalize())}</h2>{figure}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{_provenance(study.provenance)}</section>"
    )


def _skipped(skipped: pd.DataFrame) -> str:
    if not len(skipped):
        return "<h3>Left out</h3><p>Nothing.</p>"
    lines = "".join(
        f"<li>{len(group)} {html_text(reason)}: {html_text(', '.join(group['name']))}</li>"
        for reason, group in skipped.groupby("reason", sort=False)
    )
    return f"<h3>Left out</h3><details><summary>{len(skipped)} tensors and why</summary><ul>{lines}</ul></details>"


def _provenance(provenance: Mapping[str, Any]) -> str:
    lines = "".join(
        f"<dt>{html_text(str(name))}</dt><dd>{html_text(value if isinstance(value, str) else json.dumps(value))}</dd>"
        for name, value in provenance.items()
    )
    return f"<h3>Where the numbers come from</h3><details><summary>files, options, versions</summary><dl>{lines}</dl></details>"


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
