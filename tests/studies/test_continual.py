from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForMaskedLM

from spectra import Recipe, RecipeError, SpectraError, compare, continual, open_checkpoint, transfer
from spectra.studies import continual as module
from spectra.weights import graft
from tests.conftest import WORDS
from tests.failing import content
from tests.processes import waiting


@pytest.fixture
def tasks(tmp_path: Path, rng: np.random.Generator) -> list[str]:
    """Three tasks: does one of the first, the next, the last few words occur in the first place?"""
    paths = []
    for number, limit in enumerate(("w2", "w3", "w4")):
        rows = [rng.choice(WORDS, size=6).tolist() for _ in range(80)]
        lines = [json.dumps({"sentence": " ".join(row), "label": int(row[0] < limit)}) for row in rows]
        paths.append(tmp_path / f"task{number}.jsonl")
        paths[-1].write_text("\n".join(lines))
    return [str(path) for path in paths]


@pytest.fixture
def recipe(pico: dict[str, Path]) -> Recipe:
    return Recipe(
        base=str(pico["mlm"]), task="", rank=1, max_steps=4, batch_size=8, max_length=16, learning_rate=0.1,
        resume_points=0,
    )  # fmt: skip


def test_each_stage_begins_where_the_one_before_ended(
    recipe: Recipe, tasks: list[str], text: Path, tmp_path: Path
) -> None:
    study = continual(recipe, tasks, tmp_path / "c", text=text, num_sequences=4, length=12, epsilon=0.9)
    table = study.table
    assert table.groupby("stage")["task"].apply(list).to_dict() == {
        0: ["task0", "task1", "task2"],
        1: ["task0"],
        2: ["task0", "task1"],
        3: ["task0", "task1", "task2"],
    }
    folders = [tmp_path / "c" / f"stage-{t}-task{t - 1}" for t in (1, 2, 3)]
    # Stage 2 is stage 1 with its adapter put in, and what is compared are the merged models.
    began = AutoModelForMaskedLM.from_pretrained(folders[0] / "model")
    graft(began, open_checkpoint(folders[1] / "run"))
    merged = AutoModelForMaskedLM.from_pretrained(folders[1] / "model")
    for name, tensor in began.state_dict().items():
        np.testing.assert_allclose(tensor, merged.state_dict()[name], atol=1e-6)
    last = table[table["stage"] == 3].iloc[0]
    against_base = compare(recipe.base, folders[2] / "model", epsilon=0.9)
    assert last["num_intruders"] == against_base.num_intruders
    assert last["num_new_intruders"] == compare(folders[1] / "model", folders[2] / "model", epsilon=0.9).num_intruders
    # Against the original base: an update of rank one a stage.
    assert 1.5 < against_base.matrices["effective_rank"].max() <= 3.01
    assert table.loc[table["stage"] == 0, "forgetting"].tolist() == [0.0] * 3
    assert last["forgetting"] != 0


def test_stages_that_are_finished_are_not_done_again(
    recipe: Recipe, tasks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = continual(recipe, tasks[:2], tmp_path / "c").table
    trained: list[str] = []
    original = module.train
    monkeypatch.setattr(module, "train", lambda r, path, **o: trained.append(r.task) or original(r, path, **o))
    pd.testing.assert_frame_equal(continual(recipe, tasks[:2], tmp_path / "c").table, first)
    assert trained == []
    longer = continual(recipe, tasks, tmp_path / "c").table
    assert trained == tasks[2:]
    both = longer[longer["stage"].between(1, 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(both, first[first["stage"] > 0].reset_index(drop=True))


def test_stages_whose_base_and_tasks_were_moved_are_not_done_again(
    recipe: Recipe, tasks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = continual(recipe, tasks[:2], tmp_path / "c").table
    shutil.copytree(recipe.base, tmp_path / "moved" / "base")
    moved = [shutil.copy(task, tmp_path / "moved") for task in tasks[:2]]
    (tmp_path / "c").rename(tmp_path / "moved" / "c")
    monkeypatch.setattr(module, "train", lambda *args, **options: pytest.fail("trained twice"))
    monkeypatch.setattr(module, "compare", lambda *args, **options: pytest.fail("compared twice"))
    recipe = recipe.replace(base=str(tmp_path / "moved" / "base"))
    pd.testing.assert_frame_equal(continual(recipe, moved, tmp_path / "moved" / "c").table, first)


def test_a_damaged_measurement_is_made_again(recipe: Recipe, tasks: list[str], tmp_path: Path) -> None:
    first = continual(recipe, tasks[:1], tmp_path / "c").table
    kept = tmp_path / "c" / "stage-1-task0" / "measured.json"
    whole = kept.read_bytes()
    for damage in (b"", b"[1]", whole[:-10], b"\xff" + whole, b"[" * 100_000):
        kept.write_bytes(damage)
        pd.testing.assert_frame_equal(continual(recipe, tasks[:1], tmp_path / "c").table, first)
        assert kept.read_bytes() == whole


def test_the_second_process_in_a_folder_waits_and_takes_the_stages_as_finished(
    recipe: Recipe, tasks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = continual(recipe, tasks[:2], tmp_path / "alone")
    code = f"""
import spectra
def report(done, total, words):
    if "stage 1" in words and not said:
        said.append(print("in stage 1", flush=True))
        sys.stdin.read()
said = []
recipe = spectra.Recipe.from_dict({recipe.to_dict()!r})
spectra.continual(recipe, {tasks[:2]!r}, {str(tmp_path / "c")!r}, progress=report)
"""
    with waiting(code, "in stage 1") as first:

        def report(done: int, total: int, words: str) -> None:
            if f"waiting for process {first.pid}" in words:
                assert first.stdin is not None
                first.stdin.close()  # let it go on

        monkeypatch.setattr(module, "train", lambda *args, **options: pytest.fail("trained twice"))
        study = continual(recipe, tasks[:2], tmp_path / "c", progress=report)
        assert first.wait() == 0
    pd.testing.assert_frame_equal(study.table, expected.table)
    assert content(tmp_path / "c").keys() == content(tmp_path / "alone").keys()


def test_an_edited_text_is_measured_again_and_an_edited_task_refused(
    recipe: Recipe, tasks: list[str], text: Path, tmp_path: Path
) -> None:
    def found() -> pd.DataFrame:
        return continual(recipe, tasks[:2], tmp_path / "c", text=text, num_sequences=4, length=12).table

    first = found()
    text.write_text("\n\n".join(text.read_text().split("\n\n")[::-1]))
    second = found()
    assert (second["forgetting"] != first["forgetting"])[second["stage"] > 0].all()
    pd.testing.assert_series_equal(second["accuracy"], first["accuracy"])
    Path(tasks[1]).write_text(Path(tasks[1]).read_text().splitlines()[0])
    with pytest.raises(SpectraError, match=r"task1"):
        found()


def test_measures_of_transfer_on_a_matrix_worked_by_hand() -> None:
    R = [[0.9], [0.8, 0.7], [0.85, 0.5, 0.6]]
    rows = [{"stage": t + 1, "task": "abc"[i], "accuracy": R[t][i]} for t in range(3) for i in range(t + 1)]
    last = transfer(pd.DataFrame(rows)).iloc[-1]
    assert last["average_accuracy"] == pytest.approx((0.85 + 0.5 + 0.6) / 3)
    assert last["backward_transfer"] == pytest.approx(((0.85 - 0.9) + (0.5 - 0.7)) / 2)
    assert last["forgetting"] == pytest.approx(((0.9 - 0.85) + (0.7 - 0.5)) / 2)


def test_mistakes(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="needs a list of tasks"):
        continual(recipe, [], tmp_path / "c")
    with pytest.raises(RecipeError, match="called alike"):
        continual(recipe, ["a/x.csv", "b/x.csv"], tmp_path / "c")
    with pytest.raises(RecipeError, match="tasks: each is"):
        continual(recipe, [7], tmp_path / "c")  # type: ignore[list-item]  # the mistake


def test_a_folder_with_stages_of_another_recipe_is_refused(recipe: Recipe, tasks: list[str], tmp_path: Path) -> None:
    continual(recipe, tasks[:1], tmp_path / "c")
    with pytest.raises(RecipeError, match="holds a run with another seed"):
        continual(recipe.replace(seed=7), tasks[:1], tmp_path / "c")
