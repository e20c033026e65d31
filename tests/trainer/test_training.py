from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import spectra
from spectra import CheckpointError, Recipe, RecipeError, Run, compare, train
from spectra.trainer import training
from spectra.trainer.evaluating import encode
from spectra.trainer.run import input_digests

BODY = ("query", "key", "value", "dense")


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    (file,) = directory.glob("*model.safetensors")
    return load_file(file)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_directory_holds_checkpoint_recipe_metrics_and_log(recipe: Recipe, tmp_path: Path, method: str) -> None:
    recipe = recipe.replace(method=method, rank=2)
    run = train(recipe, tmp_path / "run")
    names = {path.name for path in run.path.iterdir()}
    weights = (
        {"adapter_model.safetensors", "adapter_config.json"}
        if method == "lora"
        else {"model.safetensors", "config.json"}
    )
    assert weights | {"recipe.yaml", "metrics.json", "log.jsonl", "tokenizer.json"} <= names
    assert "partial" not in names
    assert Run.open(run.path) == run
    assert run.recipe == recipe
    assert run.metrics["steps"] == 6
    assert 0 <= run.metrics["accuracy"] <= 1
    assert [entry["step"] for entry in run.log] == [1, 2, 3, 4, 5, 6]
    # The linear schedule ends at zero; the warm-up of 6% of 6 steps is none.
    assert run.log[0]["learning_rate"] > run.log[-1]["learning_rate"] > 0
    assert compare(recipe.base, run.path).num_matrices == 12


def test_full_tuning_trains_the_recipes_modules_and_nothing_else(
    recipe: Recipe, pico: dict[str, Path], tmp_path: Path
) -> None:
    run = train(recipe.replace(method="full", modules=r"bert\.encoder\.layer\.1\..*(query|value)"), tmp_path / "run")
    before, after = _weights(pico["bert"]), _weights(run.path)
    changed = {
        name
        for name, tensor in after.items()
        if name.removeprefix("bert.") in before and not torch.equal(tensor, before[name.removeprefix("bert.")])
    }
    allowed = {
        f"bert.encoder.layer.1.attention.self.{part}.{kind}"
        for part in ("query", "value")
        for kind in ("weight", "bias")
    }
    # The new head is trained and so is the pooler, which counts as part of it.
    assert changed == allowed | {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}


def test_full_tuning_of_all_linear_leaves_embeddings_and_norms(
    recipe: Recipe, pico: dict[str, Path], tmp_path: Path
) -> None:
    run = train(recipe.replace(method="full"), tmp_path / "run")
    before, after = _weights(pico["bert"]), _weights(run.path)
    changed = {
        n.removeprefix("bert.")
        for n, t in after.items()
        if n.removeprefix("bert.") in before and not torch.equal(t, before[n.removeprefix("bert.")])
    }
    assert {n for n in changed if n.endswith("weight")} == {
        n for n in before if n.endswith("weight") and any(f".{p}." in n for p in BODY) and "LayerNorm" not in n
    }
    assert not any("embeddings" in n or "LayerNorm" in n for n in changed)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_language_models(pico: dict[str, Path], tmp_path: Path, kind: str, method: str) -> None:
    recipe = Recipe(
        base=str(pico[kind]),
        task=str(pico["text"]),
        method=method,
        rank=2,
        max_steps=4,
        batch_size=2,
        max_length=16,
        learning_rate=1e-2,
    )
    run = train(recipe, tmp_path / "run")
    assert run.metrics["perplexity"] == pytest.approx(np.exp(run.metrics["loss"]))
    result = compare(pico[kind], run.path)
    per_layer = 7 if kind == "llama" else 6  # GPT-2's fused projection counts as three
    assert result.num_matrices == 2 * per_layer
    assert result.matrices["effective_rank"].max() > 1
    if method == "lora":
        assert result.matrices["effective_rank"].max() < 2.01


def test_the_loss_is_the_models_own_shifted_once(pico: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    recipe = Recipe(
        base=str(pico["llama"]), task=str(pico["text"]), max_steps=1, batch_size=2, max_length=16, learning_rate=1e-12
    )
    run = train(recipe, tmp_path / "run")
    task = training.load_task(recipe)
    from transformers import AutoTokenizer

    rows = encode(task.eval, task, AutoTokenizer.from_pretrained(pico["llama"]), recipe).rows
    ids = torch.tensor([row["input_ids"] for row in rows])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(pico["llama"])(ids).logits
    shifted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    unshifted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())
    assert run.metrics["loss"] == pytest.approx(float(shifted), abs=1e-3)
    assert run.metrics["loss"] != pytest.approx(float(unshifted), abs=1e-3)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(recipe: Recipe, tmp_path: Path) -> None:
    one, two, other = (train(recipe.replace(seed=s), tmp_path / f"{i}") for i, s in enumerate((0, 0, 1)))
    a, b, c = (_weights(run.path) for run in (one, two, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_the_callers_random_state_is_left_alone(recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    train(recipe.replace(max_steps=1), tmp_path / "run")
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_a_finished_run_is_not_trained_again(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(recipe, tmp_path / "run")
    monkeypatch.setattr(training, "_train", lambda *args: pytest.fail("trained twice"))
    assert train(recipe, tmp_path / "run") == run
    with pytest.raises(RecipeError, match="holds a run with another rank, seed"):
        train(recipe.replace(rank=3, seed=4), tmp_path / "run")


def test_a_run_on_data_that_was_edited_since_is_not_taken_for_this_one(recipe: Recipe, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(Path(recipe.task).read_bytes())
    recipe = recipe.replace(task=str(data))
    run = train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run") == run
    lines = data.read_text().splitlines()
    data.write_text("\n".join(lines[:-1]))
    with pytest.raises(RecipeError, match=r"data\.jsonl has changed since this run"):
        train(recipe, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()  # cut off before the end, on the data as it was
    (tmp_path / "run" / "partial").mkdir()
    (tmp_path / "run" / "partial" / "inputs.json").write_text(json.dumps(run.metrics["inputs"]))
    with pytest.raises(RecipeError, match=r"data\.jsonl has changed since this run"):
        train(recipe, tmp_path / "run")
    data.unlink()  # a finished run needs its data no more
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(run.metrics))
    assert train(recipe, tmp_path / "run").metrics == run.metrics


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_run_of_a_base_that_was_replaced_since_is_not_taken_for_this_one(
    file: str, recipe: Recipe, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(recipe.base, base)
    recipe = recipe.replace(base=str(base), max_steps=1)
    run = train(recipe, tmp_path / "run")
    (base / "README.md").write_text("of no account")
    assert train(recipe, tmp_path / "run") == run
    (base / file).write_bytes((base / file).read_bytes() + b" ")
    with pytest.raises(RecipeError, match=r"base has changed since this run"):
        train(recipe, tmp_path / "run")


def test_digests_of_inputs_follow_the_content_of_files_and_folders(recipe: Recipe, tmp_path: Path) -> None:
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    (data / "rows.arrow").write_bytes(b"one")
    local = recipe.replace(task=str(tmp_path / "data"))
    first = input_digests(local)
    assert first["base"] == input_digests(recipe)["base"] != first["task"]
    assert first["eval"] is None
    (data / "rows.arrow").write_bytes(b"two!")
    assert input_digests(local)["task"] != first["task"]
    assert input_digests(recipe.replace(base="some/id", task="movie-reviews")) == dict.fromkeys(first)


def test_a_killed_run_goes_on_and_ends_where_it_would_have(recipe: Recipe, tmp_path: Path) -> None:
    recipe = recipe.replace(max_steps=12, resume_points=5)
    expected = train(recipe, tmp_path / "whole")
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(spectra.__file__).parents[1])!r})
import spectra
def kill(done, total, words):
    if done == 9: os.kill(os.getpid(), signal.SIGKILL)
recipe = spectra.Recipe.from_dict({recipe.to_dict()!r})
spectra.train(recipe, {str(tmp_path / "cut")!r}, progress=kill)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(RecipeError, match="not a finished run"):
        Run.open(tmp_path / "cut")
    steps: list[int] = []
    run = train(recipe, tmp_path / "cut", progress=lambda done, total, words: steps.append(done))
    assert run.metrics["resumed"]
    assert steps[0] == 9  # step 8 was saved
    a, b = _weights(expected.path), _weights(run.path)
    for name in a:
        torch.testing.assert_close(a[name], b[name])
    assert [entry["step"] for entry in run.log] == list(range(1, 13))


def test_nothing_is_printed(recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(recipe, tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_num_examples_and_epochs_decide_the_steps(recipe: Recipe, tmp_path: Path) -> None:
    run = train(recipe.replace(num_examples=10, max_steps=None, epochs=2.0), tmp_path / "run")
    assert run.metrics["steps"] == 6  # ten rows in batches of four, twice
    assert run.metrics["num_train"] == 10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"base": "/nowhere"}, CheckpointError, "/nowhere: running a model needs a transformers directory"),
        ({"modules": "nothing"}, RecipeError, "matches none of the linear modules"),
        ({"modules": "("}, RecipeError, "is not a regular expression"),
        ({"label_field": "target"}, CheckpointError, "no causal language model, which a task without labels needs"),
        ({"task": "LONG"}, RecipeError, "takes at most 40 tokens, and the task has 64; lower max_length"),
    ],
)
def test_mistakes_are_one_sentence(
    recipe: Recipe, tmp_path: Path, change: dict[str, object], error: type, message: str
) -> None:
    if change.get("task") == "LONG":
        (tmp_path / "long.jsonl").write_text(
            "\n".join(json.dumps({"sentence": "w1 " * 80, "label": i % 2}) for i in range(20))
        )
        change = {"task": str(tmp_path / "long.jsonl"), "max_length": 64}
    with pytest.raises(error, match=message):
        train(recipe.replace(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # so that the mended recipe can use it


def test_a_diverged_run_leaves_no_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the run diverged"):
        train(recipe.replace(method="full", learning_rate=1e30), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RecipeError, match="not empty and not a run"):
        train(recipe, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="a file is in the place"):
        train(recipe, tmp_path / "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "thesis.tex"]


@pytest.mark.parametrize("method", ["rslora", "dora", "lora-fa"])
def test_variants_of_lora_train_what_they_say(recipe: Recipe, tmp_path: Path, method: str) -> None:
    import json

    run = train(recipe.replace(method=method, rank=2), tmp_path / "run")
    config = json.loads((run.path / "adapter_config.json").read_text())
    assert (config["use_rslora"], config["use_dora"]) == (method == "rslora", method == "dora")
    weights = _weights(run.path)
    assert any("magnitude" in name for name in weights) == (method == "dora")
    A = [tensor for name, tensor in weights.items() if "lora_A" in name]
    orthonormal = all(torch.allclose(a @ a.mT, torch.eye(2), atol=1e-5) for a in A)
    assert orthonormal == (method == "lora-fa")  # frozen, it is still what it was made
    ranks = compare(recipe.base, run.path).matrices["effective_rank"]
    assert (ranks.max() > 2.1) == (method == "dora")  # which changes every row


def test_checkpoints_along_a_run_are_kept_and_measured(recipe: Recipe, tmp_path: Path) -> None:
    run = train(recipe.replace(checkpoints=3, rank=2), tmp_path / "run")
    assert [entry["step"] for entry in run.metrics["checkpoints"]] == [2, 4, 6]
    assert [path.name for path in run.checkpoints] == ["0000002", "0000004", "0000006"]
    sizes = [result.matrices["delta_norm"].mean() for result in compare(recipe.base, run.checkpoints)]
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    last = run.metrics["checkpoints"][-1]
    assert (last["accuracy"], last["loss"]) == (run.metrics["accuracy"], pytest.approx(run.metrics["loss"]))
    # Keeping them does not change the run.
    plain = _weights(train(recipe.replace(rank=2), tmp_path / "plain").path)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in _weights(run.path).items())
