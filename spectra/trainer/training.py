"""`train`: from a recipe to a run directory, on transformers' Trainer and peft."""

from __future__ import annotations

import logging
import math
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import CheckpointError, RecipeError
from ..weights.hub import looks_like_hub_id, snapshot
from .methods import prepare
from .recipe import Recipe
from .run import Run, abandon, begin, find_finished, finish
from .tasks import Task, load_task

Progress = Callable[[int, int, str], None]
_IGNORED = -100  # the label that transformers' losses leave out


def train(recipe: Recipe, path: str | Path, *, progress: Progress | None = None) -> Run:
    """Tune a model and leave a run directory.

    A finished run of the same recipe is returned as it is; one that was cut off goes on from where it last saved
    itself. The caller's random state is left as it was.

    Parameters
    ----------
    recipe : Recipe
    path : str or Path
        The run directory.
    progress : callable, optional
        Called with steps done, steps in all, and the latest loss in words.

    Raises
    ------
    RecipeError, CheckpointError
        If the base, the task or the directory cannot be used.
    """
    path = Path(path)
    if done := find_finished(path, recipe):
        return done
    task = load_task(recipe)
    with _own_random_state(), _quiet_libraries():
        return _train(recipe, task, path, progress)


def _train(recipe: Recipe, task: Task, path: Path, progress: Progress | None) -> Run:
    import peft
    import transformers

    transformers.set_seed(recipe.seed)
    tokenizer, model = _load_base(recipe, task)
    train_rows, eval_rows = (_encode(rows, task, tokenizer, recipe) for rows in (task.train, task.eval))
    if not len(train_rows) or not len(eval_rows):
        raise RecipeError(
            f"{recipe.task}: too little text for one sequence of {recipe.max_length} tokens; lower max_length"
        )
    model = prepare(model, recipe)
    partial = begin(path, recipe)
    steps = recipe.max_steps or math.ceil(math.ceil(len(train_rows) / recipe.batch_size) * recipe.epochs)
    log: list[dict[str, Any]] = []
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(partial),
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=4 * recipe.batch_size,
            learning_rate=recipe.rate,
            max_steps=steps,
            lr_scheduler_type="linear",
            warmup_steps=round(recipe.warmup_ratio * steps),
            optim="adamw_torch",  # with no weight decay it is Adam
            weight_decay=0.0,
            seed=recipe.seed,
            logging_steps=max(1, steps // 20),
            save_strategy="steps" if recipe.resume_points else "no",
            save_steps=max(1, steps // (recipe.resume_points + 1)),
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        data_collator=_collator(tokenizer, task),
        callbacks=[_reporting(log, progress)],
    )
    trainer.remove_callback(transformers.PrinterCallback)  # it prints on stdout, which belongs to results
    started = time.perf_counter()
    resume = any(partial.glob("checkpoint-*/trainer_state.json"))
    outcome = trainer.train(resume_from_checkpoint=resume or None)
    seconds = time.perf_counter() - started
    measured = _measure(trainer, task)
    if not math.isfinite(measured["loss"]):
        abandon(path)
        raise RecipeError(
            f"{path}: the run diverged (loss {measured['loss']}); lower the learning rate of {recipe.rate:g}"
        )
    metrics: dict[str, Any] = measured | {
        "train_loss": outcome.training_loss,
        "steps": steps,
        "learning_rate": recipe.rate,
        "alpha": recipe.lora_alpha if recipe.method != "full" else None,
        "num_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "num_train": len(task.train),
        "num_eval": len(task.eval),
        "seconds": round(seconds, 2),
        "resumed": resume,
        "versions": {"transformers": transformers.__version__, "peft": peft.__version__, "torch": torch.__version__},
    }
    final = partial / "final"
    model.save_pretrained(final)
    tokenizer.save_pretrained(final)
    for file in final.iterdir():
        file.replace(path / file.name)
    return finish(path, recipe, metrics, log)


def _load_base(recipe: Recipe, task: Task) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    directory = Path(recipe.base).expanduser()
    if not directory.exists() and looks_like_hub_id(recipe.base):
        directory, _ = snapshot(recipe.base, with_tokenizer=True)
    if not (directory / "config.json").is_file():
        raise CheckpointError(
            f"{recipe.base}: training needs a transformers directory (config.json, weights, tokenizer) or a hub id"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        if task.label_field is None:
            model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        else:
            model = AutoModelForSequenceClassification.from_pretrained(
                directory,
                dtype=torch.float32,
                num_labels=len(task.labels),
                id2label={index: str(label) for index, label in enumerate(task.labels)},
                label2id={str(label): index for index, label in enumerate(task.labels)},
                problem_type="single_label_classification",
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{recipe.base}: cannot be loaded for training ({' '.join(str(error).split())[:300]})"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


class _Rows(Dataset[dict[str, list[int]]]):
    """Encoded sequences in memory."""

    def __init__(self, rows: list[dict[str, list[int]]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def _encode(rows: Any, task: Task, tokenizer: Any, recipe: Recipe) -> _Rows:
    """A classifier's examples each cut at `max_length`; a language model's joined and cut into full sequences."""
    if task.label_field is not None:
        encoded = tokenizer(*task.texts(rows), truncation=True, max_length=recipe.max_length)
        keys = list(encoded)
        labels = task.classes(rows)
        return _Rows([{key: encoded[key][i] for key in keys} | {"labels": labels[i]} for i in range(len(labels))])
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    ids = [token for text in tokenizer(task.texts(rows)[0])["input_ids"] for token in (*text, *end)]
    starts = range(0, len(ids) - recipe.max_length + 1, recipe.max_length)
    pieces = [ids[start : start + recipe.max_length] for start in starts]
    # Labels are the inputs: the model shifts them once. The first is predicted from nothing, and left in it would be
    # counted by those releases of the Trainer that divide by the number of labels.
    return _Rows([{"input_ids": piece, "labels": [_IGNORED, *piece[1:]]} for piece in pieces])


def _collator(tokenizer: Any, task: Task) -> Any:
    from transformers import DataCollatorWithPadding, default_data_collator

    return default_data_collator if task.label_field is None else DataCollatorWithPadding(tokenizer)


def _measure(trainer: Any, task: Task) -> dict[str, float]:
    if task.label_field is None:
        loss = float(trainer.evaluate()["eval_loss"])
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    predicted = trainer.predict(trainer.eval_dataset)
    accuracy = float((predicted.predictions.argmax(-1) == predicted.label_ids).mean())
    return {"accuracy": accuracy, "loss": float(predicted.metrics["test_loss"])}


def _reporting(log: list[dict[str, Any]], progress: Progress | None) -> Any:
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):
        """Keeps the Trainer's log and passes its steps on."""

        loss = ""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log[:] = list(state.log_history)  # what a resumed run logged before

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                log.append({"step": state.global_step, **logs})
                self.loss = f"loss {float(logs['loss']):.3f}"

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if progress:
                progress(state.global_step, state.max_steps, self.loss)

    return Reporting()


@contextmanager
def _own_random_state() -> Iterator[None]:
    """The Trainer seeds the global generators; give the caller back theirs."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No reports on heads made anew, which is what was asked for here, and no deprecations between libraries."""
    import transformers

    transformers_logging: Any = transformers.utils.logging

    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
