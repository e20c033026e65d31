"""`train`: from a recipe to a run directory, on transformers' Trainer and peft."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import RecipeError
from ..files import make_folder, whole_files, whole_folder, writing
from ..text_files import read_json_object
from .evaluating import collator, encode, evaluate
from .loading import (
    load_for_task,
    load_tokenizer,
    model_directory,
    most_tokens,
    own_random_state,
    quiet_libraries,
)
from .methods import prepare
from .recipe import Recipe
from .resuming import Point, last_whole, mark_whole
from .run import KEPT, METRICS, PARTIAL, Run, abandon, begin, find_finished, finish, held, input_digests, tidy
from .tasks import Task, load_task

Progress = Callable[[int, int, str], None]


def train(recipe: Recipe, path: str | Path, *, progress: Progress | None = None, wait: bool = False) -> Run:
    """Tune a model and leave a run directory.

    A finished run of the same recipe is returned as it is; one that was cut off goes on from where it last saved
    itself, and ends as it would have. The caller's random state is left as it was.

    Parameters
    ----------
    recipe : Recipe
    path : str or Path
        The run directory.
    progress : callable, optional
        Called with steps done, steps in all, and the latest loss in words.
    wait : bool
        Whether to wait for a process that is training in the directory, and take its run; otherwise it is named.

    Raises
    ------
    RecipeError, CheckpointError
        If the base, the task or the directory cannot be used.
    SpectraError
        If another process is training there, or the directory cannot be written to.
    """
    path = Path(path)
    if (done := find_finished(path, recipe)) and not (path / PARTIAL).exists():
        return done
    with held(path, wait=wait, waiting=lambda words: progress(0, 1, words) if progress else None):
        if done := find_finished(path, recipe):  # by now, or killed before it had cleared up
            tidy(path)
            return done
        inputs = input_digests(recipe)  # as they are read, not as they may be when the run ends
        task = load_task(recipe)
        with own_random_state(), quiet_libraries():
            return _train(recipe, task, inputs, path, progress)


def _train(recipe: Recipe, task: Task, inputs: dict[str, str | None], path: Path, progress: Progress | None) -> Run:
    import peft
    import transformers

    transformers.set_seed(recipe.seed)
    directory = model_directory(recipe.base)
    tokenizer = load_tokenizer(directory)
    model = load_for_task(directory, task, tokenizer)
    train_rows, eval_rows = (encode(rows, task, tokenizer, recipe) for rows in (task.train, task.eval))
    longest = max(len(row["input_ids"]) for rows in (train_rows, eval_rows) for row in rows.rows)
    if (most := most_tokens(model)) is not None and longest > most:
        raise RecipeError(f"{recipe.base}: takes at most {most} tokens, and the task has {longest}; lower max_length")
    model = prepare(model, recipe)
    partial = begin(path, recipe, inputs)
    steps = recipe.max_steps or math.ceil(math.ceil(len(train_rows) / recipe.batch_size) * recipe.epochs)
    batch = 4 * recipe.batch_size
    point = last_whole(partial)
    seconds_before = point.seconds if point else 0.0
    started = time.perf_counter()

    def seconds() -> float:
        return seconds_before + time.perf_counter() - started

    saving = _saving(partial, seconds)
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(partial),
            per_device_train_batch_size=recipe.batch_size,
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
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=train_rows,
        data_collator=collator(tokenizer, task),
        callbacks=[
            _reporting(progress),
            saving,
            _keeping(
                recipe,
                path,
                steps,
                lambda: evaluate(trainer.model, eval_rows, task, tokenizer, batch_size=batch),
            ),
        ],
    )
    trainer.remove_callback(transformers.PrinterCallback)  # it prints on stdout, which belongs to results
    with writing(path), saving.errors():
        trainer.train(resume_from_checkpoint=str(point.path) if point else None)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    took = seconds()
    measured = evaluate(model, eval_rows, task, tokenizer, batch_size=batch)
    if not math.isfinite(measured["loss"]):
        abandon(path)
        raise RecipeError(
            f"{path}: the run diverged (loss {measured['loss']}); lower the learning rate of {recipe.rate:g}"
        )
    metrics: dict[str, Any] = measured | {
        "checkpoints": [read_json_object(file) for file in sorted(path.glob(f"{KEPT}/*/{METRICS}"))],
        "train_loss": _mean_loss(log),
        "steps": steps,
        "learning_rate": recipe.rate,
        "alpha": None if recipe.method == "full" else recipe.lora_alpha,
        "num_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "num_train": len(task.train),
        "num_eval": len(task.eval),
        "inputs": inputs,
        "seconds": round(took, 2),
        "resumed": point is not None,
        "versions": {"transformers": transformers.__version__, "peft": peft.__version__, "torch": torch.__version__},
    }
    with whole_files(path) as place:
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
    return finish(path, recipe, metrics, log)


def _mean_loss(log: list[dict[str, Any]]) -> float:
    """Over all steps: each entry of the log is the mean since the one before."""
    steps = [0, *(entry["step"] for entry in log)]
    total = sum(entry["loss"] * (now - then) for entry, then, now in zip(log, steps[:-1], steps[1:], strict=True))
    return float(total / steps[-1])


def _reporting(progress: Progress | None) -> Any:
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):
        """Passes the Trainer's steps and losses on."""

        loss = ""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                self.loss = f"loss {float(logs['loss']):.3f}"

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if progress:
                progress(state.global_step, state.max_steps, self.loss)

    return Reporting()


def _saving(partial: Path, seconds: Callable[[], float]) -> Any:
    from transformers import TrainerCallback

    class Saving(TrainerCallback):
        """Marks what the Trainer saved to go on from, which then holds the losses of all steps so far."""

        under_way = False

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == state.max_steps:
                control.should_save = False  # the Trainer would go on from there with one step more
                control.should_log = True
            self.under_way = control.should_save
            control.should_log |= control.should_save

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            mark_whole(Point(partial / f"checkpoint-{state.global_step}", seconds()))
            self.under_way = False

        @contextmanager
        def errors(self) -> Iterator[None]:
            """What torch says when it cannot write has no type of its own."""
            try:
                yield
            except RuntimeError as error:
                if not self.under_way:
                    raise
                raise OSError(str(error)) from error

    return Saving()


def _keeping(recipe: Recipe, path: Path, steps: int, measure: Callable[[], dict[str, float]]) -> Any:
    from transformers import TrainerCallback

    chosen = {round(steps * i / recipe.checkpoints) for i in range(1, recipe.checkpoints + 1)}

    class Keeping(TrainerCallback):
        """Saves and measures the model along the way, for `Recipe.checkpoints`."""

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            folder = path / KEPT / f"{state.global_step:07}"
            if state.global_step not in chosen or folder.exists():
                return
            measured = {"step": state.global_step} | measure()
            make_folder(folder.parent)
            with whole_folder(folder) as temporary:
                model.save_pretrained(temporary)
                (temporary / METRICS).write_text(json.dumps(measured), encoding="utf-8")

    return Keeping()
