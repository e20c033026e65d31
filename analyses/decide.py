"""Decide every claim again from the saved tables, without training, and write down what was found.

Reads results/*.parquet; writes results/*.json, the tables between the marks in README.md and analyses/README.md, and
the line of verdicts at the top of each study.

    python analyses/decide.py
"""

from __future__ import annotations

import importlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from saved import RESULTS, Saved

STUDIES = (
    "rank_sweep", "forgetting", "epsilon_and_k", "learning_rate", "alpha", "dataset_size", "frozen_a", "variants",
    "effective_rank", "seeds", "dynamics", "along_training", "correlation", "intervention", "continual",
    "alpha_continual",
)  # fmt: skip
BASES = ("encoder", "decoder")
HERE = Path(__file__).parent
MARKS = "<!-- decided: {} -->\n", "<!-- end -->"


def main() -> None:
    """Decide, and write it everywhere."""
    for study in STUDIES:
        for base in BASES:
            saved = Saved(base)
            if (finding := importlib.import_module(study).decide(saved)) is not None:
                finding.write(saved)
        file = HERE / f"{study}.py"
        file.write_text(with_verdicts(file.read_text(encoding="utf-8"), study), encoding="utf-8")
    for file, (name, lines) in pages().items():
        file.write_text(between(file.read_text(encoding="utf-8"), name, lines), encoding="utf-8")


def findings(study: str) -> list[dict[str, Any]]:
    """What was saved of a study, a base each."""
    files = [RESULTS / f"{study}-{base}.json" for base in BASES]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def pages() -> dict[Path, tuple[str, list[str]]]:
    """Of each page with generated lines, the name of its mark and the lines."""
    return {HERE.parent / "README.md": ("verdicts", short()), HERE / "README.md": ("numbers", full())}


def short() -> list[str]:
    """The table of the README: a row a claim."""
    lines = ["| claim | encoder | decoder |", "|---|---|---|"]
    for study in STUDIES:
        for claims in zip(*(found["claims"] for found in findings(study)), strict=True):
            lines.append(f"| {claims[0]['claim']} | {' | '.join(map(_cell, claims))} |")
    return lines


def _cell(claim: dict[str, Any]) -> str:
    """The answer and its numbers, of a claim of several parts with the one that they are of."""
    part = re.search(r"this part: ([^;]+);", claim["words"])
    return f"**{claim['answer']}**: {f'{part[1]}: ' if part else ''}{claim['words'].partition('; power')[0]})"


def full() -> list[str]:
    """The table of analyses/README.md: everything that was saved."""
    lines = ["| study | base | claim | verdict | numbers |", "|---|---|---|---|---|"]
    for study in STUDIES:
        for found in findings(study):
            for claim in found["claims"]:
                lines.append(
                    f"| [{study}]({study}.py) | {found['base']} | {claim['claim']} | **{claim['answer']}** | "
                    f"{claim['words']} |"
                )
            lines.append(f"| | {found['base']} | *means ± standard deviations over seeds* | | {found['numbers']} |")
    return lines


def between(text: str, name: str, lines: list[str]) -> str:
    """A page with these lines between its marks."""
    start, end = (mark.format(name) for mark in MARKS)
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return before + start + "\n".join(lines) + "\n" + end + after


def with_verdicts(text: str, study: str) -> str:
    """A study's source with its verdicts at the top."""
    both = zip(*(found["claims"] for found in findings(study)), strict=True)
    words = "; ".join(f"{one['claim']}: {one['answer']}, {other['answer']}" for one, other in both)
    line = textwrap.fill(f"Verdicts, encoder and decoder: {words}.", 120, break_on_hyphens=False)
    return re.sub(
        r"(?s)(@VERDICT@|Verdicts, encoder and decoder: .*?\.)(?=\n\n    python)", lambda _: line, text, count=1
    )


if __name__ == "__main__":
    main()
