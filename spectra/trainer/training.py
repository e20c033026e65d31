"""`train`: from a recipe to a run directory, on transformers' Trainer and peft."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import RecipeError
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
from .run import KEPT, METRICS, Run, abandon, begin, find_finished, finish, input_digests
from .tasks import Task, load_task

Progress = Callable[[int, int, str], None]


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
    log: list[dict[str, Any]] = []
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
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=train_rows,
        data_collator=collator(tokenizer, task),
        callbacks=[
            _reporting(log, progress),
            _keeping(
                recipe,
                path,
                partial,
                steps,
                lambda: evaluate(trainer.model, eval_rows, task, tokenizer, batch_size=batch),
            ),
        ],
    )
    trainer.remove_callback(transformers.PrinterCallback)  # it prints on stdout, which belongs to results
    started = time.perf_counter()
    resume = any(partial.glob("checkpoint-*/trainer_state.json"))
    outcome = trainer.train(resume_from_checkpoint=resume or None)
    seconds = time.perf_counter() - started
    measured = evaluate(model, eval_rows, task, tokenizer, batch_size=batch)
    if not math.isfinite(measured["loss"]):
        abandon(path)
        raise RecipeError(
            f"{path}: the run diverged (loss {measured['loss']}); lower the learning rate of {recipe.rate:g}"
        )
    metrics: dict[str, Any] = measured | {
        "checkpoints": [json.loads(file.read_text()) for file in sorted(path.glob(f"{KEPT}/*/{METRICS}"))],
        "train_loss": outcome.training_loss,
        "steps": steps,
        "learning_rate": recipe.rate,
        "alpha": None if recipe.method == "full" else recipe.lora_alpha,
        "num_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "num_train": len(task.train),
        "num_eval": len(task.eval),
        "inputs": inputs,
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


def _keeping(recipe: Recipe, path: Path, partial: Path, steps: int, measure: Callable[[], dict[str, float]]) -> Any:
    from transformers import TrainerCallback

    chosen = {round(steps * i / recipe.checkpoints) for i in range(1, recipe.checkpoints + 1)}

    class Keeping(TrainerCallback):
        """Saves and measures the model along the way, for `Recipe.checkpoints`."""

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            folder = path / KEPT / f"{state.global_step:07}"
            if state.global_step not in chosen or folder.exists():
                return
            model.save_pretrained(partial / "kept")
            (partial / "kept" / METRICS).write_text(json.dumps({"step": state.global_step} | measure()))
            folder.parent.mkdir(exist_ok=True)
            (partial / "kept").rename(folder)

    return Keeping()
