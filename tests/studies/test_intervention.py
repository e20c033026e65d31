from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spectra import Recipe, SpectraError, intervene, open_checkpoint, train
from spectra.studies.probing import TaskModel
from spectra.studies.targets import TARGETS, targets


@pytest.fixture(scope="module")
def tuned(pico: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    recipe = Recipe(
        base=str(pico["mlm"]), task=str(pico["labelled"]), rank=1, max_steps=30, batch_size=8, max_length=16,
        learning_rate=0.2,
    )  # fmt: skip
    return str(pico["mlm"]), train(recipe, tmp_path_factory.mktemp("intervene") / "run").path


FAST: dict[str, Any] = {"num_sequences": 6, "length": 12, "k": 4, "epsilon": 0.9}


def test_every_point_has_its_controls_and_lambda_one_is_the_tuned_model(tuned: tuple[str, Path], text: Path) -> None:
    base, run = tuned
    study = intervene(base, run, [0.0, 0.5, 1.5], text=text, **FAST)
    table = study.table.set_index(["target", "lambda"])
    assert set(table.index) == {(what, factor) for what in TARGETS for factor in (0.0, 0.5, 1.0, 1.5)}
    from spectra import forgetting

    expected = forgetting(base, run, text, num_sequences=6, length=12).table.iloc[1]
    for what in TARGETS:
        row = table.loc[(what, 1.0)]
        assert row["forgetting"] == pytest.approx(expected["rise"], abs=1e-6)
        assert row["percent_accuracy_lost"] == 0.0
        assert row["percent_bought_back"] == 0.0 or np.isnan(row["percent_bought_back"])
    assert table.loc[("intruder", 0.0), "forgetting"] != table.loc[("random", 0.0), "forgetting"]


def test_a_control_is_held_against_the_intruders_on_the_same_sequences(tuned: tuple[str, Path], text: Path) -> None:
    base, run = tuned
    table = intervene(base, run, [0.5], text=text, **FAST).table.set_index(["target", "lambda"])
    forgetting, over = table["forgetting"], table["forgetting_over_intruder"]
    errors = table["forgetting_over_intruder_standard_error"]
    assert (over["intruder"] == 0).all()
    assert (errors["intruder"] == 0).all()
    for what in TARGETS[1:]:
        assert over[what, 0.5] == pytest.approx(forgetting[what, 0.5] - forgetting["intruder", 0.5], abs=1e-12)
        assert errors[what, 0.5] > 0
    assert (table["update_scale"].xs(1.0, level="lambda") == 1).all()
    assert table["update_scale"]["shrunk", 0.5] == pytest.approx(table["update_scale"]["intruder", 0.5], rel=1e-4)
    assert np.isnan(table["num_vectors"]["shrunk", 0.5])


def test_a_neighbour_that_is_not_there_is_not_said_to_be_scaled(
    tuned: tuple[str, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, run = tuned
    found = [dataclasses.replace(one, neighbour=None) for one in targets(base, run, k=4, epsilon=0.9)]
    monkeypatch.setattr("spectra.studies.intervention.targets", lambda *_, **__: found)
    table = intervene(base, run, [0.5], text=text, **FAST).table.set_index(["target", "lambda"])
    row = table.loc[("neighbour", 0.5)]
    assert (row["num_matrices"], row["num_vectors"]) == (0, 0)
    assert np.isnan(row["forgetting"])
    assert not np.isnan(table.loc[("random", 0.5), "forgetting"])


def test_lambda_one_changes_no_logit(tuned: tuple[str, Path]) -> None:
    base, run = tuned
    recipe = Recipe.load(run / "recipe.yaml")
    from spectra.studies.intervention import _Putting

    opened = open_checkpoint(run)
    ids = torch.arange(5, 15)[None]
    model = TaskModel(base, recipe, opened).model.eval()
    with torch.no_grad():
        before = model(input_ids=ids).logits
        found = targets(base, run, k=4, epsilon=0.9)
        put = _Putting(model, base)
        put({one.name: one.scaled("intruder", 1.0) for one in found})
        torch.testing.assert_close(model(input_ids=ids).logits, before, atol=1e-6, rtol=1e-6)
        put({one.name: one.scaled("intruder", 0.0) for one in found})  # negative control
        assert not torch.allclose(model(input_ids=ids).logits, before, atol=1e-6)


def test_accuracy_is_the_runs_own_at_lambda_one(tuned: tuple[str, Path]) -> None:
    from spectra import Run

    base, run = tuned
    study = intervene(base, run, [0.0], **FAST)
    at_one = study.table[study.table["lambda"] == 1.0]
    assert set(at_one["accuracy"]) == {Run.open(run).metrics["accuracy"]}


def test_a_task_that_is_named_is_measured_whole(tuned: tuple[str, Path], pico: dict[str, Path]) -> None:
    base, run = tuned
    rows = len(pico["labelled"].read_text().splitlines())
    table = intervene(base, run, [0.0], task=str(pico["labelled"]), **FAST).table
    assert set(table["num_eval"]) == {rows}
    accuracy = table["accuracy"]
    np.testing.assert_allclose(table["accuracy_standard_error"], np.sqrt(accuracy * (1 - accuracy) / rows))


def test_it_is_said_what_was_measured(tuned: tuple[str, Path], text: Path) -> None:
    base, run = tuned
    found = intervene(base, run, [], text=text, **FAST).provenance
    assert found["objective"] == "masked"
    assert (found["num_sequences"], found["length"]) == (6, 12)
    assert len(found["text"]["sha256"]) == 64


def test_mistakes(tuned: tuple[str, Path], tmp_path: Path, text: Path) -> None:
    base, run = tuned
    with pytest.raises(SpectraError, match=r"no intruder dimensions at epsilon 0\.01"):
        intervene(base, run, text=text, epsilon=0.01)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    with pytest.raises(SpectraError, match="nothing to measure"):
        intervene(base, tmp_path)
    with pytest.raises(ValueError, match="finite"):
        intervene(base, run, [float("nan")], text=text)
    weights = {n: t for n, t in open_tensors(run).items() if "classifier" not in n}
    save_file(weights, tmp_path / "adapter_model.safetensors")
    with pytest.raises(SpectraError, match="has no trained classifier"):
        intervene(base, tmp_path, recipe=Recipe.load(run / "recipe.yaml"), **FAST)


def open_tensors(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run / "adapter_model.safetensors")


def test_a_share_of_no_forgetting_is_not_stated() -> None:
    from spectra.studies.intervention import _relative

    none = {"forgetting": -0.01, "forgetting_standard_error": 0.01}
    some = {"forgetting": 0.5, "forgetting_standard_error": 0.01}
    assert np.isnan(_relative({"forgetting": 0.02}, none)["percent_bought_back"])
    assert _relative({"forgetting": 0.1}, some)["percent_bought_back"] == pytest.approx(80)
