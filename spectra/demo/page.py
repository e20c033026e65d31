"""The demo's page: one self-contained file, words first."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import pandas as pd

_CAPTIONS = {
    "epsilon": "Intruder dimensions against the threshold ε (paper: Fig. 4).",
    "k": "Intruder dimensions against how many leading vectors are examined (paper: Fig. 15).",
    "map": "Where the intruders of {run} are.",
    "similarity": "Leading singular vectors of {run} against those of the base; an outlined column is close to none "
    "(paper: Fig. 1–3).",
    "spectrum": "Leading singular values before and after {run}; circles are intruders.",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .25rem .7rem; text-align: right; }
th { border-bottom: 2px solid #222; } td { border-bottom: 1px solid #ddd; } th:first-child, td:first-child { text-align: left; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; } img { width: 100%; } figcaption { font-size: .85rem; }
"""


def page(table: pd.DataFrame, findings: list[str], figures: list[Path]) -> str:
    """HTML with the findings, the table and the SVG files inside."""
    digits = {"accuracy": 3, "standard_error": 3, "effective_rank": 1, "relative_delta": 3, "seconds": 0}
    shown = table.copy()
    for column, places in digits.items():
        shown[column] = shown[column].map(lambda value, places=places: f"{value:.{places}f}")
    shown["learning_rate"] = shown["learning_rate"].map("{:g}".format)
    shown.columns = [column.replace("_", " ") for column in shown]
    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings)
    pictures = "".join(_figure(path) for path in figures)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>spectra demo</title><style>{_STYLE}</style></head><body>
<h1>What fine-tuning did to the weights</h1>
<p>A sentence encoder (MiniLM-L6, real pretrained weights) was tuned to tell good movie reviews from bad ones: all of each
weight matrix (full), and through low-rank updates (LoRA) of three ranks. Every run saw the same reviews for the same
number of steps; each method has the largest learning rate
that a grid showed to be as accurate as its best. An <em>intruder dimension</em> is one
of the ten leading left singular vectors of a tuned matrix whose cosine with every pretrained one stays below ε = 0.5.</p>
<ul>{sentences}</ul>
<div class="scroll">{shown.to_html(index=False, border=0)}</div>
<p>One seed. The search for the learning rates and three seeds of each are in the source tree,
<code>analyses/demo_setting.md</code>. Numbers per matrix: <code>comparison.json</code> beside this page.</p>
<div class="figures">{pictures}</div>
</body></html>
"""


def _figure(path: Path) -> str:
    kind, _, run = path.stem.partition("-")
    caption = html.escape(_CAPTIONS[kind].format(run=run))
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{data}"><figcaption>{caption}</figcaption></figure>'
