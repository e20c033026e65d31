from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra import Recipe, RecipeError, Run, SpectraError, files
from spectra.trainer.run import PARTIAL, abandon, begin, clear, find_finished, finish, held, input_digests
from tests.failing import READS, WRITES, content, each_failure

METRICS = {"loss": 0.5, "steps": 1, "seconds": 1.0, "num_eval": 12}


def _run(path: Path, recipe: Recipe, metrics: dict[str, Any] = METRICS) -> Run:
    """A finished run without a training."""
    with held(path):
        inputs = input_digests(recipe)
        begin(path, recipe, inputs)
        return finish(path, recipe, {**metrics, "inputs": inputs}, [{"step": 1, "loss": 0.5}])


def test_a_finished_run_leaves_nothing_unfinished(recipe: Recipe, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", recipe)
    assert set(content(tmp_path)) == {"run/", "run/recipe.yaml", "run/log.jsonl", "run/metrics.json"}
    assert find_finished(tmp_path / "run", recipe) == run
    assert run.log == [{"step": 1, "loss": 0.5}]


def test_a_run_that_did_not_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "a" / "run"):
        assert 1 / 0
    assert content(tmp_path) == {}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whatever_call_fails_the_run_is_finished_or_can_go_on(recipe: Recipe, tmp_path: Path, error: int) -> None:
    path = tmp_path / "run"
    for failed in each_failure(WRITES, lambda: _run(path, recipe), allowed=SpectraError, error=error):
        found = find_finished(path, recipe)
        assert found is None or found.metrics["loss"] == 0.5, failed
        assert not any(".spectra" in name or name.endswith("lock") for name in content(tmp_path)), failed
        assert _run(path, recipe).metrics["loss"] == 0.5
        assert len(content(tmp_path)) == 4, failed
        shutil.rmtree(path)


def test_whatever_read_fails_is_one_sentence(recipe: Recipe, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", recipe)

    def read() -> None:
        files._sha256.cache_clear()
        assert find_finished(run.path, recipe) == run

    opened = list(each_failure(READS, read, allowed=SpectraError, error=errno.EIO))
    for name in ("recipe.yaml", "metrics.json", "model.safetensors", "labelled.jsonl"):
        assert any(name in what for what in opened), name


CUT: dict[str, Callable[[Path], object]] = {
    "an empty folder": lambda path: path.mkdir(),
    "before the lock": lambda path: (path / PARTIAL).mkdir(parents=True),
    "after the lock": lambda path: ((path / PARTIAL).mkdir(parents=True), (path / PARTIAL / "lock").touch()),
    "before the recipe": lambda path: (
        (path / PARTIAL).mkdir(parents=True),
        (path / PARTIAL / "lock").touch(),
        (path / ".spectra-x").mkdir(),
    ),
}


@pytest.mark.parametrize("cut", CUT.values(), ids=list(CUT))
def test_a_run_that_was_killed_before_it_had_a_recipe_can_begin(
    recipe: Recipe, tmp_path: Path, cut: Callable[[Path], object]
) -> None:
    cut(tmp_path / "run")
    assert find_finished(tmp_path / "run", recipe) is None
    _run(tmp_path / "run", recipe)
    assert len(content(tmp_path)) == 4


def test_somebodys_own_folder_called_partial_is_not_ours(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run" / PARTIAL).mkdir(parents=True)
    (tmp_path / "run" / PARTIAL / "thesis").write_text("precious")
    with pytest.raises(RecipeError, match="not empty and not a run"):
        find_finished(tmp_path / "run", recipe)


def test_the_same_base_and_task_under_another_path_are_the_same_run(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(tmp_path / "run", recipe)
    shutil.copytree(recipe.base, tmp_path / "base")
    shutil.copy(recipe.task, tmp_path / "rows.jsonl")
    moved = recipe.replace(base=str(tmp_path / "base"), task=str(tmp_path / "rows.jsonl"))
    assert find_finished(run.path, moved) == run
    monkeypatch.chdir(tmp_path)
    assert find_finished(run.path, recipe.replace(base="base/", task="./rows.jsonl")) == run
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(RecipeError, match="run: holds a run with another task; choose"):
        find_finished(run.path, moved)
    (tmp_path / "base" / "config.json").write_text("{}")
    with pytest.raises(RecipeError, match="run: holds a run with another base, task, rank; choose"):
        find_finished(run.path, moved.replace(rank=3))
    with pytest.raises(RecipeError, match="another base"):  # a hub id: nothing on this machine to tell by
        find_finished(run.path, recipe.replace(base="org/name"))


NO_MAPPING = [b"", b"\xff\xfe\x00", b"[1]", b"null", b"{", b"[" * 100_000, b'{"a": 1}' * 2]


@pytest.mark.parametrize("damage", NO_MAPPING)
def test_a_damaged_note_of_inputs_makes_the_run_begin_anew(recipe: Recipe, tmp_path: Path, damage: bytes) -> None:
    inputs = input_digests(recipe)
    with held(tmp_path):
        begin(tmp_path, recipe, inputs)
        (tmp_path / PARTIAL / "checkpoint-1").mkdir()
        (tmp_path / "checkpoints" / "0000001").mkdir(parents=True)
        begin(tmp_path, recipe, inputs)
        assert (tmp_path / PARTIAL / "checkpoint-1").exists()  # negative control
        (tmp_path / PARTIAL / "inputs.json").write_bytes(damage)
        assert find_finished(tmp_path, recipe) is None
        begin(tmp_path, recipe, inputs)
        assert not (tmp_path / PARTIAL / "checkpoint-1").exists()
        assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("metrics.json", damage) for damage in NO_MAPPING),
        ("metrics.json", b'{"loss": 0.5, "steps": "many"}'),
        ("metrics.json", b'{"loss": 0.5, "steps": 1, "seconds": 1, "num_eval": 12, "checkpoints": [7]}'),
        ("metrics.json", b'{"loss": 0.5, "steps": 1, "seconds": 1, "num_eval": 12, "inputs": "base"}'),
        *(("recipe.yaml", damage) for damage in (b"", b"\xff\xfe\x00", b"[1]", b'{"base": 1}')),
    ],
)
def test_a_damaged_run_is_one_sentence_that_names_the_file(
    recipe: Recipe, tmp_path: Path, name: str, damage: bytes
) -> None:
    run = _run(tmp_path / "run", recipe)
    (run.path / name).write_bytes(damage)
    for read in (Run.open, lambda path: find_finished(path, recipe)):
        with pytest.raises(RecipeError, match=re.escape(name)) as raised:
            read(run.path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("damage", [b"\xff", b"{", b"[" * 100_000])
def test_a_damaged_log_is_one_sentence(recipe: Recipe, tmp_path: Path, damage: bytes) -> None:
    run = _run(tmp_path / "run", recipe)
    (run.path / "log.jsonl").write_bytes(b'{"step": 1}\n' + damage)
    with pytest.raises(RecipeError, match=r"log\.jsonl: line 2"):
        _ = run.log


def test_what_was_begun_can_be_taken_back_and_what_is_there_cleared(recipe: Recipe, tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        begin(tmp_path / "run", recipe, input_digests(recipe))
        abandon(tmp_path / "run")
    assert content(tmp_path) == {}
    run = _run(tmp_path / "run", recipe)
    (run.path / "checkpoints" / "0000001").mkdir(parents=True)
    (run.path / "model.safetensors").write_bytes(b"")
    with held(run.path):
        clear(run.path)
    assert content(tmp_path) == {}


def test_a_finished_run_may_lie_where_nothing_can_be_written(recipe: Recipe, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", recipe)
    before = run.path.stat().st_mtime_ns
    assert find_finished(run.path, recipe) == run
    assert run.path.stat().st_mtime_ns == before
    assert json.loads((run.path / "metrics.json").read_text())["steps"] == 1
