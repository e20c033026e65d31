"""The studies and the gallery: what they say at the top and in the READMEs is what follows from their saved tables."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import common
import decide
import pandas as pd
import pytest
from saved import COUNT, Saved, by_seed, learned, most_accurate, picked_rate

from spectra import CheckpointError, ResultError, Study
from spectra.studies.verdicts import CANNOT_TELL, DOES_NOT_HOLD, HOLDS
from tests.conftest import REPOSITORY
from tests.worlds import World

RESULTS = REPOSITORY / "analyses" / "results"
FIGURES = sorted(path for path in (REPOSITORY / "figures").glob("*.py") if path.stem != "gallery")
EQUALITIES = {"variants of LoRA plant as many intruders as LoRA", "scaling it costs less than 5% of the accuracy"}


def answers(study: str, world: Saved) -> dict[str, str]:
    finding = importlib.import_module(study).decide(world)
    return {verdict.claim: verdict.answer for verdict in finding.claims}


@pytest.mark.parametrize("study", decide.STUDIES)
def test_every_claim_holds_where_it_is_true_and_does_not_in_reverse(study: str) -> None:
    own = {"correlation": {"full_forgets": -5.0}, "seeds": {"noise": 200.0}}.get(study, {})
    reverse = answers(study, World("w", sign=-1, **own))
    true = answers(study, World("w", sign=1, **own | {"noise": 1.0}))  # of the seeds the reverse is a wide spread
    assert set(true.values()) == {HOLDS}
    assert set(reverse.values()) == {DOES_NOT_HOLD}


@pytest.mark.parametrize("study", [study for study in decide.STUDIES if study != "seeds"])
def test_no_claim_holds_where_there_is_nothing(study: str) -> None:
    held = [
        claim
        for seed in range(5)
        for claim, answer in answers(study, World("w", sign=0, seed=seed)).items()
        if answer == HOLDS and claim not in EQUALITIES
    ]
    assert len(held) <= 1  # one in forty, of five to fifteen


@pytest.mark.parametrize("study", ["along_training", "correlation", "dynamics", "epsilon_and_k", "forgetting"])
def test_rows_that_are_there_twice_decide_nothing(study: str) -> None:
    class Twice(World):
        def table(self, study: str) -> pd.DataFrame:
            return pd.concat([super().table(study)] * 2, ignore_index=True)

    module = importlib.import_module(study)
    once, twice = (module.decide(kind("w", sign=0, seed=3)) for kind in (World, Twice))
    assert [v.answer for v in once.claims] == [v.answer for v in twice.claims]
    assert [v.units for v in once.claims] == [v.units for v in twice.claims]


@pytest.mark.parametrize("study", decide.STUDIES)
def test_a_study_that_was_run_alone_decides_from_its_own_tables(study: str) -> None:
    class Alone(World):
        def table(self, name: str) -> pd.DataFrame:
            own = name.partition("-")[0] == study or (study, name) == ("dynamics", "leading_intruders")
            return super().table(name) if own else pd.DataFrame()

    found = answers(study, Alone("w", sign=1, full_forgets=-5.0 if study == "correlation" else 10.0))
    assert set(found.values()) <= {HOLDS, CANNOT_TELL}
    assert HOLDS in found.values() or study == "seeds"  # of which there are two there


def test_runs_without_an_intruder_to_follow_or_scale_decide_nothing() -> None:
    class Without(World):
        def table(self, study: str) -> pd.DataFrame:
            table = super().table(study)
            return table.iloc[:0] if study in ("leading_intruders", "intervention") else table

    assert set(answers("dynamics", Without("w")).values()) == {CANNOT_TELL}
    for study in ("intervention", "continual", "alpha_continual"):
        nothing = Without("w") if study == "intervention" else Saved("no such base")
        assert importlib.import_module(study).decide(nothing) is None


def test_forgetting_above_the_ceiling_counts_as_the_ceiling() -> None:
    free, capped = (World("w", sign=1, ceiling_at=at) for at in (float("nan"), 4.5))
    module = importlib.import_module("forgetting")
    assert "above the ceiling of 4.50" in str(module.decide(capped).claims[0])
    assert "ceiling" not in str(module.decide(free).claims[0])
    assert module.decide(capped).claims[0].effect < module.decide(free).claims[0].effect


def test_runs_of_all_studies_are_joined_each_once() -> None:
    runs = World("w").runs()
    assert not runs.duplicated(["method", "rank", "alpha", "learning_rate", "num_examples", "seed"]).any()
    seeds = {rank: sorted(group["seed"]) for rank, group in World("w").picked().items()}
    assert seeds == {rank: [0, 1, 2, 3, 4] for rank in (0.0, 1.0, 8.0, 64.0)}


def test_a_base_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no sweep of other is saved there; run a study first"):
        Saved("other", tmp_path).runs()


def test_rates_are_picked_by_accuracy() -> None:
    runs = pd.DataFrame(
        {"learning_rate": [1, 1, 2, 2, 3, 3], "accuracy": [0.80, 0.82, 0.80, 0.805, 0.7, 0.7], "seed": [0, 1] * 3}
    ).assign(accuracy_standard_error=0.01, **{COUNT: range(6)})
    assert set(picked_rate(runs)["learning_rate"]) == {2}
    assert set(most_accurate(runs)["learning_rate"]) == {1}
    assert by_seed(runs, COUNT).index.tolist() == [0, 1] * 3
    assert len(learned(runs.assign(least_accuracy=0.75))) == 4


def test_the_saved_findings_are_what_the_saved_tables_give() -> None:
    for study in decide.STUDIES:
        for base in decide.BASES:
            finding = importlib.import_module(study).decide(Saved(base))
            kept = json.loads((RESULTS / f"{study}-{base}.json").read_text(encoding="utf-8"))
            assert json.loads(json.dumps(finding.as_dict(base))) == close(kept)


def close(value: Any) -> Any:
    """The same, with numbers equal to rounding."""
    if isinstance(value, dict):
        return {key: close(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [close(entry) for entry in value]
    return pytest.approx(value) if isinstance(value, float) else value


def test_every_claim_says_effect_interval_units_and_power() -> None:
    for found in (found for study in decide.STUDIES for found in decide.findings(study)):
        for claim in found["claims"]:
            assert claim["answer"] in (HOLDS, DOES_NOT_HOLD, CANNOT_TELL)
            assert re.search(r"\(95% .* to .*; (needs|allows) .*; n = \d+.*; power \d+%\)|no interval", claim["words"])


@pytest.mark.parametrize("page", decide.pages(), ids=lambda path: path.parent.name)
def test_a_page_holds_what_was_decided(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    name, lines = decide.pages()[page]
    assert len(lines) > 12
    assert decide.between(text, name, lines) == text


@pytest.mark.parametrize("study", decide.STUDIES)
def test_a_study_states_its_question_its_method_and_its_verdicts(study: str) -> None:
    text = (REPOSITORY / "analyses" / f"{study}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 125
    head = text.split('"""')[1]
    assert "Question:" in head
    assert "Method:" in head
    assert "Verdicts, encoder and decoder: " in head
    assert decide.with_verdicts(text, study) == text
    for base in decide.BASES:
        assert len(Study.read(RESULTS / f"{study}-{base}.parquet").table) > 0


def test_every_script_finds_what_it_imports_and_is_on_the_list_of_studies() -> None:
    names = sorted(path.stem for path in (REPOSITORY / "analyses").glob("*.py"))
    code = f"import importlib; [importlib.import_module(name) for name in {names}]"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "analyses", check=True)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    listed = set(re.search(r"for study in ([\s\S]*?); do", makefile)[1].replace("\\", " ").split())
    assert listed == set(names) - {"common", "curves", "decide", "demo_setting", "saved", "six_tasks"}
    assert listed - {"similarity", "continual_similarity"} == set(decide.STUDIES)  # two that only draw


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


@pytest.mark.parametrize("options", [["--base", "model"], ["--only", "decoder"]], ids=" ".join)
def test_a_model_of_ones_own_and_the_decoder_need_no_package_of_the_demo(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> str:
        raise CheckpointError("the demo's weights are missing")

    for folder in (tmp_path / "model", tmp_path / "data" / "models" / "stories15M"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}', encoding="utf-8")
    monkeypatch.setattr(common, "base_directory", missing)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["study", "--data", "data", *options])
    (setting,) = common.settings("")
    assert setting.kind == "decoder"
    assert setting.fields["base"].endswith(("model", "stories15M"))
    monkeypatch.setattr(sys, "argv", ["study", "--data", "data"])
    with pytest.raises(CheckpointError, match="weights are missing"):  # the encoder does
        common.settings("")


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
    assert printed.startswith("variants, encoder:")
    assert len(Study.read(tmp_path / "quick" / "variants-encoder.parquet").table) == 6
    assert before == {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
