"""A tensor that lies somewhere and is read only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint: what is known without reading it, and how to read it.

    Attributes
    ----------
    shape : tuple of int
    dtype : torch.dtype
        As stored.
    load : callable
        ``load(None)`` reads it whole; ``load(i)`` reads entry ``i`` of the first axis only.
    where : str
        The file and the name in it, for messages.
    storage : hashable, optional
        Equal for two tensors that share all of their memory (tied weights).
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[int | None], Tensor]
    where: str
    storage: Hashable = None


# Where trainers put the weights inside a larger dictionary, the most specific first.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "params", "weights")


def find_state_dict(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a dictionary, or of the weights inside it; of dictionaries in those, names joined by dots.

    An optimizer's state holds tensors that are no weights, and is passed over.
    """
    inside = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded)
    found: dict[str, Tensor] = {}

    def collect(mapping: Mapping[Any, Any], prefix: str) -> None:
        if {"state", "param_groups"} <= set(mapping):
            return
        for name, value in mapping.items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Mapping):
                collect(value, f"{prefix}{name}.")

    collect(inside, "")
    return found


def in_memory(tensor: Tensor, where: str) -> Stored:
    """A tensor that is already there."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()

    def load(index: int | None) -> Tensor:
        return tensor if index is None else tensor[index]

    return Stored(tuple(tensor.shape), tensor.dtype, load, where, storage_key(tensor))


def storage_key(tensor: Tensor) -> Hashable:
    """Equal for two tensors exactly when they are the same view of the same memory."""
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


@dataclass(frozen=True)
class Skipped:
    """Something that was not compared, and why.

    `problem` marks what the user should look into (damaged or mismatched weights), as opposed to what was left out by
    design (vectors, embeddings, unchanged matrices).
    """

    name: str
    reason: str
    problem: bool = False
