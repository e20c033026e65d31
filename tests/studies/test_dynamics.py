from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from spectra import Recipe, RecipeError, SpectraError, compare, dynamics, train


def test_each_checkpoint_is_compared_with_the_base(pico: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), rank=1, max_steps=6, batch_size=4, max_length=16,
        learning_rate=0.1, checkpoints=3,
    )  # fmt: skip
    run = train(recipe, tmp_path / "run")
    study = dynamics(run.path, k=4, epsilon=[0.5, 0.9])
    assert study.table["step"].tolist() == [2, 4, 6]
    assert study.table["accuracy"].iloc[-1] == run.metrics["accuracy"]
    last = compare(recipe.base, run.path, k=4, epsilon=[0.5, 0.9])
    row = study.table.iloc[-1]
    assert (row["num_intruders_0.5"], row["num_intruders_0.9"]) == (last.count(0.5), last.count(0.9))
    new = last.vectors[last.vectors["max_cosine_upper"] < 0.9]
    assert row["best_rank"] == new["index"].min() + 1
    assert row["mean_singular_value"] == pytest.approx(new["singular_value"].mean())
    assert study.table["spike_ratio"].is_monotonic_increasing


def test_a_checkpoint_with_a_broken_matrix_is_told(pico: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), rank=1, max_steps=4, batch_size=4, max_length=16,
        learning_rate=0.1, checkpoints=2,
    )  # fmt: skip
    run = train(recipe, tmp_path / "run")
    file = run.checkpoints[0] / "adapter_model.safetensors"
    tensors = load_file(file)
    next(tensor for name, tensor in tensors.items() if "lora_A" in name).flatten()[0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(SpectraError, match=r"was not compared, as the tuned checkpoint holds 1 NaN or Inf values here"):
        dynamics(run.path, k=4, epsilon=0.9)


def test_a_run_without_checkpoints_has_none(pico: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(base=str(pico["bert"]), task=str(pico["labelled"]), max_steps=1, batch_size=4, max_length=16)
    with pytest.raises(RecipeError, match="kept no checkpoints"):
        dynamics(train(recipe, tmp_path / "run"))


def test_a_checkpoint_that_has_not_moved_yet_has_none(pico: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), method="full", max_steps=10, batch_size=4, max_length=16,
        learning_rate=0.1, checkpoints=10, warmup_ratio=0.5,
    )  # fmt: skip
    table = dynamics(train(recipe, tmp_path / "run"), k=4, epsilon=0.9).table
    assert table["step"].tolist() == list(range(1, 11))
    assert table["spike_ratio"].iloc[0] == table["num_intruders_0.9"].iloc[0] == 0  # at a rate of zero
    assert (table["spike_ratio"].iloc[1:] > 0).all()
    assert table["accuracy"].notna().all()
