"""Whatever is done to a saved study: it is refused in one sentence, or everything that takes studies takes it."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cli.tables import study_text
from spectra import ResultError, SpectraError, Study
from spectra.plots import STUDY_PLOTS, plot_correlation
from spectra.reporting import report
from tests.test_result_schema import mutated

RUNS = [
    {"run": f"r{i}", "status": "done", "reason": "", "method": method, "rank": rank, "alpha": None, "learning_rate": 1e-3,
     "seed": i % 2, "task": "t.csv", "modules": "all", "accuracy": 0.5 + i / 20, "num_intruders_0.5": 8 - i,
     "num_at_chance": i, "effective_rank": 1.5, "forgetting": i / 10, "forgetting_standard_error": 0.01}
    for i, (method, rank) in enumerate([("full", None), ("full", None), ("lora", 1), ("lora", 1), ("lora", 8), ("lora", 8)])
]  # fmt: skip
TABLES: dict[str, list[dict[str, Any]]] = {
    "sweep": RUNS,
    "forgetting": [{"model": m, "loss": 2.0 + i, "standard_error": 0.1, "rise": i, "rise_standard_error": 0.1, "reason": ""} for i, m in enumerate("abc")],
    "intervention": [{"target": t, "lambda": x, "accuracy": x, "forgetting": 1 - x} for t in ("intruder", "random") for x in (0.0, 0.5, 1.0)],
    "continual": [{"stage": s, "trained_on": "a", "task": t, "accuracy": 0.5, "num_intruders": None} for s in range(3) for t in "ab"],
    "dynamics": [{"step": s, "accuracy": 0.5, "num_intruders_0.5": s, "spike_ratio": 0.1} for s in range(4)],
    "counts": [{"run": "a", "epsilon": 0.5, "k": 1, "num_intruders": 2}],
}  # fmt: skip


def _document(kind: str) -> dict[str, Any]:
    provenance = {"base": "b", "objective": "causal", "text": None}
    return {"schema_version": 1, "kind": kind, "provenance": provenance, "rows": copy.deepcopy(TABLES[kind])}


def use(study: Study, folder: Path, *, draw: bool) -> None:
    """Everything that takes a study."""
    assert study._repr_html_()
    assert repr(study)
    for suffix in ("json", "parquet"):
        study.write(folder / f"again.{suffix}")
        assert len(Study.read(folder / f"again.{suffix}").table) == len(study.table)
    for format_ in ("csv", "markdown"):
        study.to_bytes(format_)
    if study.kind in STUDY_PLOTS:
        study_text(study)
    try:
        if draw:
            assert "</html>" in report([], [study])
            if study.kind == "sweep":
                plot_correlation(study).figure.savefig(folder / "figure.png", dpi=30)
    except ResultError:
        pass  # there is nothing in it to draw


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_what_was_not_edited_is_taken(tmp_path: Path, kind: str, suffix: str) -> None:
    study = Study(kind, pd.DataFrame(TABLES[kind]), _document(kind)["provenance"])
    study.write(tmp_path / f"s.{suffix}")
    use(Study.read(tmp_path / f"s.{suffix}"), tmp_path, draw=True)


@pytest.mark.parametrize(
    ("kind", "column", "value", "message"),
    [
        ("sweep", "status", "maybe", "status is neither"),
        ("sweep", "status", None, "status has empty cells"),
        ("sweep", "accuracy", "high", "accuracy is not all numbers"),
        ("sweep", "run", 3, "run is not all text"),
        ("sweep", "rank", [1], "rank is not all numbers"),
        ("sweep", "accuracy", 1e305, "accuracy is not all numbers"),
        ("forgetting", "rise", "x", "rise is not all numbers"),
        ("forgetting", "model", None, "model has empty cells"),
        ("intervention", "lambda", None, "lambda has empty cells"),
        ("continual", "stage", "x", "stage is not all numbers"),
        ("dynamics", "step", {"a": 1}, "step is not all"),
    ],
)
def test_an_edited_study_is_refused_in_a_sentence(
    tmp_path: Path, kind: str, column: str, value: Any, message: str
) -> None:
    document = _document(kind)
    document["rows"][0][column] = value
    (tmp_path / "s.json").write_text(json.dumps(document))
    with pytest.raises(ResultError, match=rf"s\.json: not a saved study \(column {message}"):
        Study.read(tmp_path / "s.json")


def test_infinite_numbers_are_missing_in_every_format(tmp_path: Path) -> None:
    study = Study("sweep", pd.DataFrame([RUNS[0] | {"perplexity": math.inf}, RUNS[1] | {"perplexity": 2.0}]), {})
    for suffix in ("json", "parquet"):
        study.write(tmp_path / f"s.{suffix}")
        assert Study.read(tmp_path / f"s.{suffix}").table["perplexity"].isna().tolist() == [True, False]


def test_mutated_studies_are_refused_or_taken(tmp_path: Path) -> None:
    generator = random.Random(1)
    cases = int(os.environ.get("SPECTRA_CASES", "50"))
    taken = 0
    for number in range(cases):
        edited = mutated(_document(generator.choice(list(TABLES))), generator)
        (tmp_path / "s.json").write_text(json.dumps(edited))
        try:
            study = Study.read(tmp_path / "s.json")
        except SpectraError:
            continue
        taken += 1
        use(study, tmp_path, draw=number % 25 == 0)
    assert 0 < taken < cases


@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind in STUDY_PLOTS])
def test_formulas_of_tex_in_names_are_drawn_as_they_are(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(TABLES[kind])
    texts = {
        name: "$\\frac{" + table[name] + "$" for name in ("run", "task", "target", "model", "modules") if name in table
    }
    study = Study(kind, table.assign(**texts), _document(kind)["provenance"] | {"objective": "$\\frac{$"})
    STUDY_PLOTS[kind](study).figure.savefig(tmp_path / "figure.png", dpi=30)
