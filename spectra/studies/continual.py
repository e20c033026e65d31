"""Continual learning: task after task, merged after each, with the accuracy matrix and the spectra of every stage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..comparing import compare
from ..devices import check_device
from ..errors import RecipeError
from ..files import claimed, make_folder, noted, remove_leftovers, whole_file, whole_folder
from ..intruders import check_options
from ..trainer import Recipe, train
from ..trainer.loading import load_tokenizer, model_directory, quiet_libraries
from ..trainer.run import by_content
from ..trainer.tasks import load_task
from ..weights import graft, open_checkpoint
from .columns import whole
from .forgetting import Reference, text_provenance
from .probing import probe_accuracy
from .study import Study, versions

Progress = Callable[[int, int, str], None]


def continual(
    recipe: Recipe,
    tasks: Sequence[str | dict[str, Any]],
    path: str | Path,
    *,
    k: int = 10,
    epsilon: float = 0.5,
    text: str | Path | None = None,
    objective: str = "auto",
    num_sequences: int = 128,
    length: int = 128,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Study:
    """Tune on one task after the other; after each, merge, and measure all tasks so far on new heads.

    A stage trains on its task from the merged weights of the one before (an adapter begins anew), with the recipe's
    method and rate. Then the accuracy on each task up to it is that of a new linear head on the frozen body
    (`probe_accuracy`), and the weights are compared with the **original** base and with the stage before. Stages that
    are finished in `path` are not done again.

    Parameters
    ----------
    recipe : Recipe
        Its `task` is not used.
    tasks : sequence of str or dict
        The forms of `Recipe.task`, or a mapping of recipe fields with ``task`` among them.
    path : str or Path
        The folder; the models of the stages are kept in it.
    k, epsilon, device
        Of `spectra.compare`.
    text, objective, num_sequences, length
        Of `spectra.forgetting`, against the original base; without `text` it is not measured.
    progress : callable, optional
        Called with stages done, stages in all, and what is going on.

    Returns
    -------
    Study
        A row a stage and task: ``stage`` (0 is the untouched base, measured on all tasks), ``trained_on``, ``task``,
        ``accuracy`` (the ``R[t, i]`` of Lopez-Paz & Ranzato, arXiv 1706.08840) with its binomial standard error; and,
        repeated over the tasks of a stage, ``num_intruders`` against the original base, ``num_new_intruders`` against
        the stage before, ``forgetting`` of the text with its standard error.

    Raises
    ------
    SpectraError
        If a task, the base or the folder cannot be used.
    """
    check_options(k=k, epsilon=epsilon, side="left", method="auto")
    check_device(device)
    path = Path(path)
    if not all(
        isinstance(task, str)
        or (isinstance(task, dict) and "task" in task and all(isinstance(name, str) for name in task))
        for task in tasks
    ):
        raise RecipeError("tasks: each is a task, or a mapping of recipe fields with `task` among them")
    plans = [recipe.replace(**({"task": task} if isinstance(task, str) else task)) for task in tasks]
    if not plans:
        raise RecipeError("continual learning needs a list of tasks")
    names = [_task_name(plan.task) for plan in plans]
    if len(set(names)) < len(names):
        raise RecipeError(f"two tasks are called alike ({', '.join(names)}); give them files of different names")
    for plan in plans:  # not found out after hours
        load_task(plan)
    original = model_directory(recipe.base)
    of_text = text_provenance(original, text, objective, num_sequences, length)
    options = {"k": k, "epsilon": epsilon, **of_text}
    reference: Reference | None = None
    rows: list[dict[str, Any]] = []
    before = original
    # Each stage begins where the one before ended, so a second process has nothing to do but wait.
    with claimed(path, "stages", path, waiting=partial(progress, 0, 1) if progress else None):
        for stage in range(len(plans) + 1):
            plan = plans[stage - 1]
            label = names[stage - 1] if stage else "untouched base"
            folder = path / (f"stage-{stage}-{names[stage - 1]}" if stage else "stage-0")
            remove_leftovers(folder)
            so_far = plans[:stage] if stage else plans
            wanted = {"options": options, "recipes": [by_content(one) for one in so_far]}
            kept = folder / "measured.json"
            known = noted(kept)
            if known.get("wanted") == wanted:
                rows += known["rows"]
                before = folder / "model" if stage else original
                continue

            def report(done: int, total: int, words: str, stage: int = stage, label: str = label) -> None:
                if progress:
                    so_much = 100 * stage + 100 * done // total
                    progress(so_much, 100 * (len(plans) + 1), f"stage {stage}, {label}: {words}")

            measured: dict[str, Any] = {}
            now = original
            if text is not None and reference is None:
                report(0, 1, "the base's loss")
                reference = Reference(
                    original, text, objective=objective, num_sequences=num_sequences, length=length, device=device
                )
            if stage:
                now = _merged_stage(plan.replace(base=str(before)), folder, report)
                report(4, 5, "comparing")
                for column, base in (("num_intruders", original), ("num_new_intruders", before)):
                    result = whole(compare(base, now, k=k, epsilon=epsilon, device=device))
                    measured[column] = result.num_intruders
            if reference is not None:
                row = reference.measure(open_checkpoint(now))
                measured |= {"forgetting": row["rise"], "forgetting_standard_error": row["rise_standard_error"]}
            fresh = []
            for task, one in zip(names, so_far, strict=False):
                report(4, 5, f"a new head for {task}")
                accuracy, count = probe_accuracy(now, one, device=device)
                error = math.sqrt(accuracy * (1 - accuracy) / count)
                fresh.append({"stage": stage, "trained_on": label, "task": task, "accuracy": accuracy})
                fresh[-1] |= {"accuracy_standard_error": error, **measured}
            make_folder(folder)
            with whole_file(kept) as temporary:
                temporary.write_text(json.dumps({"wanted": wanted, "rows": fresh}, indent=1), encoding="utf-8")
            rows += fresh
            before = now
    provenance = {"base": recipe.base, "tasks": names, "recipe": recipe.to_dict(), "k": k, "epsilon": epsilon}
    provenance |= of_text | {"versions": versions()}
    return Study("continual", pd.DataFrame(rows), provenance)


def transfer(table: pd.DataFrame) -> pd.DataFrame:
    """Average accuracy, backward transfer and forgetting after each stage, from the table of `continual`.

    With ``R[t, i]`` the accuracy on task ``i`` after stage ``t``: ``average_accuracy`` is the mean of ``R[t, i]`` over
    ``i ≤ t``; ``backward_transfer`` the mean of ``R[t, i] − R[i, i]`` over ``i < t`` (Lopez-Paz & Ranzato, arXiv
    1706.08840, eq. 2–3); ``forgetting`` the mean of ``max_{l < t} R[l, i] − R[t, i]`` over ``i < t`` (Chaudhry et al.,
    arXiv 1801.10112, eq. 3), with the maximum over the stages since the task was learned.

    >>> R = pd.DataFrame({"stage": [1, 2, 2], "task": ["a", "a", "b"], "accuracy": [0.9, 0.8, 0.7]})
    >>> transfer(R).round(3).iloc[-1].tolist()
    [2.0, 0.75, -0.1, 0.1]
    """
    R = table[table["stage"] > 0].pivot(index="stage", columns="task", values="accuracy")
    order = list(table.loc[table["stage"] == table["stage"].max(), "task"])
    rows = []
    for t in R.index:
        so_far, earlier = order[:t], order[: t - 1]
        learned = {task: R.loc[i + 1, task] for i, task in enumerate(earlier)}
        best = {task: R.loc[i + 1 : t - 1, task].max() for i, task in enumerate(earlier)}
        rows.append(
            {
                "stage": t,
                "average_accuracy": R.loc[t, so_far].mean(),
                "backward_transfer": sum(R.loc[t, i] - learned[i] for i in earlier) / len(earlier) if earlier else 0.0,
                "forgetting": sum(best[i] - R.loc[t, i] for i in earlier) / len(earlier) if earlier else 0.0,
            }
        )
    return pd.DataFrame(rows)


def _merged_stage(recipe: Recipe, folder: Path, progress: Progress) -> Path:
    """Train a stage, put what it made into the model it began from, and return that model's directory."""
    # Also where the model is there: a folder with stages of another recipe is refused here.
    run = train(recipe, folder / "run", wait=True, progress=lambda at, total, words: progress(4 * at, 5 * total, words))
    done = folder / "model"
    if done.exists():
        return done
    import transformers

    start = model_directory(recipe.base)
    with quiet_libraries():
        config = transformers.AutoConfig.from_pretrained(start)
        kind = getattr(transformers, (config.architectures or ["AutoModel"])[0])
        model = kind.from_pretrained(start, dtype=torch.float32)  # as it was trained, whatever the file holds
        graft(model, open_checkpoint(run.path))
        with whole_folder(done) as temporary:
            model.save_pretrained(temporary)
            load_tokenizer(start).save_pretrained(temporary)
    return done


def _task_name(task: str) -> str:
    return Path(task).stem.removesuffix(".train").replace(":", "-")
