"""A tensor that lies somewhere and is read only when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import CheckpointError

T = TypeVar("T")

# What a tensor can be that has no plain values in a row, and what to do.
SPARSE = "a sparse tensor; save it dense (tensor.to_dense())"
NESTED = "a nested tensor; save its parts"
QUANTIZED = "quantized by torch; save it dequantized (tensor.dequantize())"
NO_DATA = "without data of its own (a meta, fake or distributed tensor); load or gather the weights and save them"


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
    unreadable : str
        Why it cannot be read as plain numbers, and what to do; empty where it can.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[int | None], Tensor]
    where: str
    storage: Hashable = None
    unreadable: str = ""

    @classmethod
    def without_values(cls, shape: tuple[int, ...], dtype: torch.dtype, where: str, reason: str) -> Stored:
        """A tensor that is there but cannot be read, for the `reason` given."""

        def load(index: int | None) -> Tensor:
            raise CheckpointError(f"{where}: {reason}")

        return cls(shape, dtype, load, where, None, reason)


# Where trainers put the weights inside a larger dictionary, the most specific first.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "params", "weights")
# What is reached on many ways has a name for each; past these limits it was made to take all time or memory.
_DEEPEST = 64
_MOST_CHARACTERS = 1 << 26  # of all names together


def find_state_dict(loaded: Mapping[Any, Any], kind: type[T], where: str) -> dict[str, T]:
    """The tensors of a dictionary, or of the weights inside it; of dictionaries in those, names joined by dots.

    An optimizer's state holds tensors that are no weights, and is passed over.

    Parameters
    ----------
    loaded : Mapping
    kind : type
        What a tensor is.
    where : str
        What the dictionary is of, for messages.

    Raises
    ------
    CheckpointError
        If dictionaries are nested too deep, or hold each other so that there are more names than could be listed.
    """
    inside = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded)
    found: dict[str, T] = {}
    characters = 0

    def collect(mapping: Mapping[Any, Any], prefix: str, depth: int) -> None:
        nonlocal characters
        if {"state", "param_groups"} <= set(mapping):
            return
        for key, value in mapping.items():
            if not isinstance(value, (kind, Mapping)):
                continue
            name = f"{prefix}{key}"
            characters += len(name) + 1
            if depth > _DEEPEST or characters > _MOST_CHARACTERS:
                raise CheckpointError(
                    f"{where}: its dictionaries are nested without end or hold each other many times over; "
                    "save model.state_dict() alone"
                )
            if isinstance(value, Mapping):
                collect(value, f"{name}.", depth + 1)
            else:
                found[name] = value

    collect(inside, "", 0)
    return found


def in_memory(tensor: Tensor, where: str) -> Stored:
    """A tensor that is already there."""
    tensor = tensor.detach()
    shape = () if tensor.is_nested else tuple(tensor.shape)
    if reason := _without_plain_values(tensor):
        return Stored.without_values(shape, tensor.dtype, where, reason)

    def load(index: int | None) -> Tensor:
        return tensor if index is None else tensor[index]

    return Stored(shape, tensor.dtype, load, where, storage_key(tensor))


def _without_plain_values(tensor: Tensor) -> str:
    """Why a tensor's values cannot be taken as they lie in memory; empty where they can."""
    if tensor.is_nested:
        return NESTED
    if tensor.layout != torch.strided:
        return SPARSE
    if tensor.is_quantized:
        return QUANTIZED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's word to whoever writes a compiler
            pointer = tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # torch has two words for a tensor without a storage
        pointer = 0
    return "" if pointer or not tensor.numel() else NO_DATA


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
