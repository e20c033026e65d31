"""A tensor that lies somewhere and is read only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

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


def in_memory(tensor: Tensor, where: str) -> Stored:
    """A tensor that is already there."""
    tensor = tensor.detach()

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
