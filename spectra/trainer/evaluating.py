"""A task's rows as token ids, and how well a model does on them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import RecipeError
from .recipe import Recipe
from .tasks import Task

_IGNORED = -100  # the label that transformers' losses leave out


class Rows(Dataset[dict[str, list[int]]]):
    """Encoded sequences in memory."""

    def __init__(self, rows: list[dict[str, list[int]]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def encode(rows: Any, task: Task, tokenizer: Any, recipe: Recipe) -> Rows:
    """A classifier's examples each cut at `max_length`; a language model's joined and cut into full sequences.

    Raises
    ------
    RecipeError
        If there is not one.
    """
    if task.label_field is not None:
        encoded = tokenizer(*task.texts(rows), truncation=True, max_length=recipe.max_length)
        keys = list(encoded)
        labels = task.classes(rows)
        return Rows([{key: encoded[key][i] for key in keys} | {"labels": labels[i]} for i in range(len(labels))])
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    ids = [token for text in tokenizer(task.texts(rows)[0])["input_ids"] for token in (*text, *end)]
    starts = range(0, len(ids) - recipe.max_length + 1, recipe.max_length)
    pieces = [ids[start : start + recipe.max_length] for start in starts]
    if not pieces:
        raise RecipeError(
            f"{recipe.task}: too little text for one sequence of {recipe.max_length} tokens; lower max_length"
        )
    # Labels are the inputs: the model shifts them once. The first is predicted from nothing, and left in it would be
    # counted by those releases of the Trainer that divide by the number of labels.
    return Rows([{"input_ids": piece, "labels": [_IGNORED, *piece[1:]]} for piece in pieces])


def collator(tokenizer: Any, task: Task) -> Any:
    """What makes a batch of encoded rows."""
    from transformers import DataCollatorWithPadding, default_data_collator

    return default_data_collator if task.label_field is None else DataCollatorWithPadding(tokenizer)


@torch.no_grad()
def evaluate(model: Any, rows: Rows, task: Task, tokenizer: Any, *, batch_size: int) -> dict[str, float]:
    """``accuracy`` and ``loss`` of a classifier, ``loss`` (nats a token) and ``perplexity`` of a language model."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    # By length, so that little is padding; the generator only keeps the loader from drawing on the global one.
    ordered = Rows(sorted(rows.rows, key=lambda row: len(row["input_ids"])))
    loader = DataLoader(
        ordered, batch_size, collate_fn=collator(tokenizer, task), generator=torch.Generator().manual_seed(0)
    )
    losses, correct = 0.0, 0
    for batch in loader:
        batch = {key: value.to(device) for key, value in batch.items()}
        outcome = model(**batch)
        losses += float(outcome.loss) * len(batch["labels"])  # sequences of a language model are of one length
        if task.label_field is not None:
            correct += int((outcome.logits.argmax(-1) == batch["labels"]).sum())
    model.train(was_training)
    loss = losses / len(rows)
    if task.label_field is None:
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    return {"accuracy": correct / len(rows), "loss": loss}
