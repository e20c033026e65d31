from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spectra import CheckpointError, Recipe, Run, open_checkpoint, train
from spectra.studies.probing import TaskModel, probe_accuracy
from tests.conftest import WORDS


def test_a_probe_learns_what_the_body_shows_and_nothing_else(pico: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, seen in (("seen", True), ("unseen", False)):
        rows = [rng.choice(WORDS[:10], size=2).tolist() for _ in range(300)]
        coin = rng.integers(0, 2, 300)
        lines = [
            {"sentence": " ".join(row), "label": int(row[0] in WORDS[:5]) if seen else int(toss)}
            for row, toss in zip(rows, coin, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    seen, unseen = (
        probe_accuracy(pico["mlm"], Recipe(base="", task=str(tmp_path / f"{name}.jsonl"), batch_size=8))
        for name in ("seen", "unseen")
    )
    assert seen[1] == 30
    assert seen[0] > 0.85
    assert unseen[0] < 0.8


def test_the_tuned_head_does_as_well_as_the_run_says(pico: dict[str, Path], tmp_path: Path) -> None:
    for method in ("full", "lora"):
        recipe = Recipe(
            base=str(pico["bert"]), task=str(pico["labelled"]), method=method, rank=2, max_steps=20, batch_size=8,
            max_length=16, learning_rate=0.05,
        )  # fmt: skip
        run = train(recipe, tmp_path / method)
        found = TaskModel(recipe.base, recipe, open_checkpoint(run.path)).measure()
        assert found["accuracy"] == Run.open(run.path).metrics["accuracy"]
        assert found["loss"] == pytest.approx(run.metrics["loss"], abs=1e-5)


def test_a_language_task_has_no_head_to_retrain(pico: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="has no head to retrain"):
        probe_accuracy(pico["llama"], Recipe(base="", task=str(pico["text"])))


def test_the_head_of_a_checkpoint_trained_elsewhere_says_which_class_is_which(
    pico: dict[str, Path], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in pico["labelled"].read_text().splitlines()]
    for name, words in (("words", ("yes", "no")), ("others", ("good", "bad"))):
        lines = [json.dumps(row | {"label": words[row["label"]]}) for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    recipe = Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), method="full", max_steps=20, batch_size=8, max_length=16,
        learning_rate=0.05,
    )  # fmt: skip
    run = train(recipe, tmp_path / "run")
    numbered = TaskModel(recipe.base, recipe, open_checkpoint(run.path)).measure()["accuracy"]
    assert numbered != 0.5
    config = json.loads((run.path / "config.json").read_text())
    config |= {"label2id": {"yes": 0, "no": 1}, "id2label": {"0": "yes", "1": "no"}}  # not in the order of the alphabet
    (run.path / "config.json").write_text(json.dumps(config))
    named = recipe.replace(task=str(tmp_path / "words.jsonl"))
    assert TaskModel(recipe.base, named, open_checkpoint(run.path)).measure()["accuracy"] == numbered
    with pytest.raises(CheckpointError, match="its head tells yes, no apart, the task bad, good"):
        TaskModel(recipe.base, named.replace(task=str(tmp_path / "others.jsonl")), open_checkpoint(run.path))
