from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spectra import CheckpointError, Recipe, RecipeError, Run, SpectraError, compare, train
from spectra.trainer import training
from spectra.trainer.evaluating import encode
from spectra.trainer.run import input_digests
from tests.failing import WRITES, content, each_failure, full_disk
from tests.processes import start, waiting

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


@pytest.fixture
def resuming(recipe: Recipe) -> Recipe:
    """Saves itself after steps 2, 4, … 10 of 12; with dropout, so that the random state counts too."""
    return recipe.replace(max_steps=12, resume_points=5, checkpoints=2, rank=2)


def _train(recipe: Recipe, path: Path, *, before: str = "", progress: str = "None") -> str:
    """Code of a process that trains."""
    return f"""
import os, signal, time
import spectra, transformers
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
{before}
recipe = spectra.Recipe.from_dict({recipe.to_dict()!r})
spectra.train(recipe, {str(path)!r}, progress={progress})
"""


def _but_for_time(run: Run) -> tuple[dict[str, object], dict[str, bytes]]:
    """All that a run left, but for the order of sets, which is another in each process."""
    metrics = {name: value for name, value in run.metrics.items() if name not in ("seconds", "resumed")}
    files = {name: data for name, data in content(run.path).items() if name != "metrics.json"}
    return metrics, {
        name: bytes(sorted(data)) if name.endswith(("README.md", "adapter_config.json")) else data
        for name, data in files.items()
    }


# Where the process ends. The Trainer saves weights, then the optimizer, the random state, and its own state.
KILLED = {
    "between two points": ("", "lambda done, total, words: done == 9 and kill()", 9),
    "between weights and state of the second point": (
        "saves = []\n"
        "save = transformers.Trainer._save_rng_state\n"
        "def killed(self, folder):\n"
        "    saves.append(folder)\n"
        "    len(saves) == 2 and kill()\n"
        "    save(self, folder)\n"
        "transformers.Trainer._save_rng_state = killed",
        "None",
        3,
    ),
    "while the last weights are written": (
        "import peft\n"
        "from pathlib import Path\n"
        "save = peft.PeftModel.save_pretrained\n"
        "def killed(self, folder, **options):\n"
        "    if Path(folder).parent.name == 'cut':\n"
        "        Path(folder, '.tmpAbCd').write_bytes(b'half')  # as safetensors does\n"
        "        kill()\n"
        "    save(self, folder, **options)\n"
        "peft.PeftModel.save_pretrained = killed",
        "None",
        11,
    ),
    "while the last weights are moved": (
        "from pathlib import Path\n"
        "replace = Path.replace\n"
        "def killed(self, to):\n"
        "    replace(self, to)\n"
        "    self.name == 'adapter_model.safetensors' and kill()\n"
        "Path.replace = killed",
        "None",
        11,
    ),
    "before what is not finished is removed": (
        "from spectra.trainer import run\nrun.tidy = lambda path: (path / 'metrics.json').exists() and kill()",
        "None",
        None,
    ),
}


@pytest.mark.parametrize(
    ("before", "progress", "first"),
    [
        pytest.param(*case, id=name, marks=() if "second point" in name else pytest.mark.slow)
        for name, case in KILLED.items()
    ],
)
def test_a_killed_run_goes_on_and_ends_where_it_would_have(
    resuming: Recipe, tmp_path: Path, before: str, progress: str, first: int | None
) -> None:
    expected = train(resuming, tmp_path / "whole")
    with start(_train(resuming, tmp_path / "cut", before=before, progress=progress)) as process:
        assert process.communicate() == ("", "")
    assert process.returncode == -signal.SIGKILL
    assert "partial/" in content(tmp_path / "cut")  # negative control: it was cut off
    steps: list[int] = []
    run = train(resuming, tmp_path / "cut", progress=lambda done, total, words: steps.append(done))
    assert steps[:1] == ([] if first is None else [first])
    assert _but_for_time(run) == _but_for_time(expected)
    assert run.metrics["resumed"] == (first is not None)
    assert [entry["step"] for entry in run.log] == list(range(1, 13))


def _stopped(recipe: Recipe, path: Path, at: int) -> None:
    def stop(done: int, total: int, words: str) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, path, progress=stop)


@pytest.mark.parametrize("file", ["optimizer.pt", "adapter_model.safetensors", "trainer_state.json", "whole.json"])
def test_a_damaged_point_costs_time_and_never_the_result(resuming: Recipe, tmp_path: Path, file: str) -> None:
    expected = train(resuming, tmp_path / "whole")
    _stopped(resuming, tmp_path / "cut", 5)
    (damaged,) = (tmp_path / "cut" / "partial").glob(f"checkpoint-4/{file}")
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0x20
    damaged.write_bytes(data)
    run = train(resuming, tmp_path / "cut")
    assert not run.metrics["resumed"]
    assert _but_for_time(run) == _but_for_time(expected)


def test_the_mean_loss_of_a_run_that_went_on_is_that_of_all_its_steps(resuming: Recipe, tmp_path: Path) -> None:
    _stopped(resuming, tmp_path / "run", 7)
    run = train(resuming, tmp_path / "run")
    assert run.metrics["resumed"]
    assert run.metrics["train_loss"] == pytest.approx(np.mean([entry["loss"] for entry in run.log]))
    sparse = train(resuming.replace(max_steps=50, resume_points=0), tmp_path / "sparse")  # logs every second step
    assert [entry["step"] for entry in sparse.log] == list(range(2, 51, 2))


def test_the_second_process_in_a_run_directory_is_told_or_waits(resuming: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "run"
    progress = "lambda done, total, words: done == 3 and (print('step 3', flush=True), sys.stdin.read())"
    with waiting(_train(resuming, path, progress=progress), "step 3") as first:
        with pytest.raises(
            SpectraError, match=rf"run: process {first.pid} on \S+, begun .* is working on it; let it end"
        ):
            train(resuming, path)
        with pytest.raises(RecipeError, match="another rank"):  # which is said first
            train(resuming.replace(rank=3), path)
        said: list[tuple[int, str]] = []

        def report(done: int, total: int, words: str) -> None:
            said.append((done, words))
            assert first.stdin is not None
            first.stdin.close()  # let it go on

        run = train(resuming, path, progress=report, wait=True)
        assert all(
            words.startswith(f"waiting for process {first.pid} on ") for _, words in said
        )  # nothing is trained here
        assert first.wait() == 0
    assert _but_for_time(run) == _but_for_time(train(resuming, tmp_path / "alone"))


@pytest.mark.slow
def test_two_processes_that_begin_at_once_leave_one_run(resuming: Recipe, tmp_path: Path) -> None:
    processes = [start(_train(resuming, tmp_path / "run")) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [
        process.returncode
        for process in processes
        if "is working on it; let it end" not in errors[processes.index(process)]
    ].count(0) >= 1
    assert all(error == "" or "is working on it; let it end" in error for error in errors)
    assert _but_for_time(Run.open(tmp_path / "run")) == _but_for_time(train(resuming, tmp_path / "alone"))


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(resuming: Recipe, tmp_path: Path) -> None:
    resuming = resuming.replace(method="full")
    expected = train(resuming, tmp_path / "whole")
    for size in (3000, 30_000, 60_000):  # too little for the weights, for the optimizer, for its end
        with full_disk(size), pytest.raises(SpectraError, match=r"cut: cannot be written \(.*\); make room") as raised:
            train(resuming, tmp_path / "cut")
        assert "\n" not in str(raised.value)
    assert _but_for_time(train(resuming, tmp_path / "cut")) == _but_for_time(expected)


@pytest.mark.slow
def test_whatever_call_fails_the_run_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    recipe = recipe.replace(max_steps=2, resume_points=1, checkpoints=1, rank=1)
    expected = _but_for_time(train(recipe, tmp_path / "whole"))
    path = tmp_path / "run"
    for failed in each_failure(WRITES, lambda: train(recipe, path), allowed=SpectraError, every=4):
        assert not any(name.endswith("lock") or ".spectra" in name for name in content(tmp_path)), failed
        assert _but_for_time(train(recipe, path)) == expected, failed
        shutil.rmtree(path)


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
