"""How well weights do on a task: with the head they were tuned with, or with a new one on the frozen body."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..errors import CheckpointError
from ..trainer import Recipe
from ..trainer.evaluating import Rows, encode, evaluate
from ..trainer.loading import (
    is_causal,
    load_for_task,
    load_tokenizer,
    model_directory,
    own_random_state,
    quiet_libraries,
)
from ..trainer.tasks import Task, load_task
from ..weights import Adapter, Checkpoint, graft
from ..weights.names import HEAD

_DECAY = 1e-3  # of the new head's squared weights; features are standardised, so it is without a unit


class TaskModel:
    """A tuned model with the head it was tuned with, on the rows its recipe measures on.

    Attributes
    ----------
    model : transformers model
        Holds the tuned weights; may be changed between measurements.

    Raises
    ------
    CheckpointError
        If `tuned` brings no head for the task: accuracy under a random one says nothing.
    """

    def __init__(self, base: str | Path, recipe: Recipe, tuned: Checkpoint | Adapter, *, device: str = "cpu") -> None:
        self._recipe = recipe
        self._task = _as_the_head_counts(load_task(recipe), tuned)
        directory = model_directory(base)
        with quiet_libraries(), own_random_state(0):
            self._tokenizer = load_tokenizer(directory)
            self.model = load_for_task(directory, self._task, self._tokenizer).to(device)
        kept = graft(self.model, tuned)
        missing = next((name for name in kept if HEAD.search(name)), None)
        if missing and self._task.label_field is not None:
            raise CheckpointError(
                f"{tuned.label}: has no trained {missing} for the task {recipe.task}; "
                "give a checkpoint with its head, or a run directory"
            )
        self._rows = encode(self._task.eval, self._task, self._tokenizer, recipe)

    def measure(self) -> dict[str, float]:
        """``accuracy`` with its binomial standard error and ``loss``, or ``loss`` and ``perplexity``; ``num_eval``."""
        batch = 4 * self._recipe.batch_size
        found = evaluate(self.model, self._rows, self._task, self._tokenizer, batch_size=batch)
        count = len(self._rows)
        if "accuracy" in found:
            found["accuracy_standard_error"] = math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / count)
        return found | {"num_eval": count}


def _as_the_head_counts(task: Task, tuned: Checkpoint | Adapter) -> Task:
    """The task with its labels in the order of the classes that a checkpoint trained elsewhere names."""
    named = tuned.config.get("label2id") if isinstance(tuned, Checkpoint) else None
    if not named or not all(isinstance(label, str) for label in task.labels) or "LABEL_0" in named:
        return task  # numbers are their own place; without names, the usual order is the sorted one
    if set(named) != set(task.labels):
        raise CheckpointError(
            f"{tuned.label}: its head tells {', '.join(named)} apart, the task {', '.join(task.labels)}; "
            "give the task the head's labels, or their numbers"
        )
    return dataclasses.replace(task, labels=tuple(sorted(named, key=named.__getitem__)))


def probe_accuracy(directory: str | Path, recipe: Recipe, *, device: str = "cpu") -> tuple[float, int]:
    """Accuracy of a new linear head on the frozen body of a model, and the number of rows it was measured on.

    The head is a logistic regression on the last hidden state of the first token (of the last one for a causal model),
    standardised, fitted by L-BFGS to the training rows of the recipe's task: convex, so it has neither seed nor
    learning rate.

    Parameters
    ----------
    directory : str or Path
        A transformers directory.
    recipe : Recipe
        Its task, its fields, `num_examples`, `max_length`, `batch_size` and `seed` count.

    Raises
    ------
    CheckpointError, RecipeError
        If the model or the task cannot be used.
    """
    task = load_task(recipe)
    if task.label_field is None:
        raise CheckpointError(
            f"{recipe.task}: a task without labels has no head to retrain; give one with a label column"
        )
    directory = model_directory(directory)
    with quiet_libraries(), own_random_state(0):
        tokenizer = load_tokenizer(directory)
        model = load_for_task(directory, task, tokenizer).to(device).eval()
    body = model.base_model
    causal = is_causal(model.config.architectures or [])
    train, test = (
        _features(body, encode(rows, task, tokenizer, recipe), tokenizer, 4 * recipe.batch_size, last=causal)
        for rows in (task.train, task.eval)
    )
    head = _logistic_regression(*train, len(task.labels))
    scale, shift = train[0].std(dim=0).clamp(min=1e-6), train[0].mean(dim=0)
    predicted = ((test[0] - shift) / scale @ head[:-1] + head[-1]).argmax(dim=1)
    return float((predicted == test[1]).float().mean()), len(test[1])


@torch.no_grad()
def _features(body: Any, rows: Rows, tokenizer: Any, batch_size: int, *, last: bool) -> tuple[Tensor, Tensor]:
    """Hidden states of one token a row, shape (rows, hidden), and labels, shape (rows,)."""
    tokenizer.padding_side = "right"
    device = next(body.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    found: list[Tensor] = []
    for start in range(0, len(order), batch_size):
        chosen = [{k: v for k, v in rows[i].items() if k != "labels"} for i in order[start : start + batch_size]]
        batch = tokenizer.pad(chosen, return_tensors="pt").to(device)
        hidden = body(**batch).last_hidden_state.float()
        at = batch["attention_mask"].sum(dim=1) - 1 if last else torch.zeros(len(chosen), dtype=torch.long)
        found.append(hidden[torch.arange(len(chosen)), at.to(device)].cpu())
    return torch.cat(found), torch.tensor([rows[i]["labels"] for i in order])


def _logistic_regression(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Weights and, as the last row, biases, shape (features + 1, classes), for standardised features."""
    X = ((features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6)).double()
    X = torch.cat([X, X.new_ones(len(X), 1)], dim=1)
    head = X.new_zeros(X.shape[1], classes).requires_grad_()
    solver = torch.optim.LBFGS([head], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = cross_entropy(X @ head, labels) + _DECAY * (head[:-1] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]  # untyped in torch
    return head.detach().float()
