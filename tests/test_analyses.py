"""The studies and the gallery: what they say at the top and in the README is what their saved results say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spectra import Study
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "analyses" / "results"
STUDIES = sorted({path.stem.rsplit("-", 1)[0] for path in RESULTS.glob("*.json") if "similarity" not in path.name})
FIGURES = sorted(path for path in (REPOSITORY / "figures").glob("*.py") if path.stem != "gallery")


def test_the_claims_have_results() -> None:
    assert set(STUDIES) == {
        "along_training", "alpha", "alpha_continual", "continual", "correlation", "dataset_size", "dynamics",
        "effective_rank", "epsilon_and_k", "forgetting", "frozen_a", "intervention", "learning_rate", "rank_sweep",
        "seeds", "variants",
    }  # fmt: skip


def test_every_script_finds_what_it_imports_and_is_on_the_list_of_studies() -> None:
    names = sorted(path.stem for path in (REPOSITORY / "analyses").glob("*.py"))
    code = f"import importlib; [importlib.import_module(name) for name in {names}]"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "analyses", check=True)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    listed = set(re.search(r"for study in ([\s\S]*?); do", makefile)[1].replace("\\", " ").split())
    assert listed == set(names) - {"common", "curves", "demo_setting", "six_tasks", "summary"}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_states_its_question_its_method_and_the_verdict_of_its_results(study: str) -> None:
    text = (REPOSITORY / "analyses" / f"{study}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    head = " ".join(text.split('"""')[1].split())
    assert "Question:" in head
    assert "Method:" in head
    for file in sorted(RESULTS.glob(f"{study}-*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert f"{found['base']}: {found['verdict'].partition(':')[0]}" in head.partition("Verdict:")[2]
        assert len(Study.read(file.with_suffix(".parquet")).table) > 0


def test_the_readme_holds_what_the_summary_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "analyses/summary.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert printed.count("\n") > 12
    assert printed in (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", FIGURES, ids=lambda path: path.stem)
def test_a_figure_is_a_short_script_and_its_svg(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 40
    assert script.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_gallery_lists_every_figure_and_every_number_of_the_papers() -> None:
    rows = (REPOSITORY / "figures" / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:3]] for row in rows if row.startswith("| ")][1:]
    assert {number for paper, _ in cells for number in map(int, re.findall(r"\d+", paper))} == set(range(1, 24))
    drawn = {name for _, link in cells for name in re.findall(r"\((\w+)\.svg\)", link)}
    assert drawn == {script.stem for script in FIGURES}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "encoder"], "--only chooses one of the study's own two bases"),
        ([], "running a model needs a transformers directory"),
    ],
)
def test_mistakes_of_the_command_line(options: list[str], words: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "analyses/variants.py", "--base", str(tmp_path), "--runs", str(tmp_path), *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_study_runs_in_its_quick_setting_and_leaves_the_saved_results_alone(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    printed = subprocess.run(
        [sys.executable, "analyses/variants.py", "--quick", "--only", "encoder", "--runs", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.startswith("variants, encoder: ")
    assert len(Study.read(tmp_path / "quick" / "variants-encoder.parquet").table) == 6
    assert before == {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
