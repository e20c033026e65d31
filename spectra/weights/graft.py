"""Tuned weights put into a live model that holds the base's."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..linalg import is_finite
from .adapter import Adapter, LoraUpdate
from .checkpoint import Checkpoint
from .live import from_module
from .names import EMBEDDING, HEAD, drop
from .pairs import pair
from .stored import Stored

_VOCABULARY_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.")  # may have more rows than the base's, like embeddings


@torch.no_grad()
def graft(model: nn.Module, tuned: Checkpoint | Adapter) -> list[str]:
    """Overwrite the weights of a live base model by those of a checkpoint of it, or by what an adapter makes of them.

    The two need not have the same head: the body of a tuned classifier goes into a language model, which keeps its
    own head. So what is measured is the tuned weights, with no fresh parameter among them.

    Parameters
    ----------
    model : nn.Module
        Changed in place; of what is not a head, everything that `tuned` has gets its place.
    tuned : Checkpoint or Adapter

    Returns
    -------
    list of str
        The model's tensors that were left as they are.

    Raises
    ------
    PairingError, CheckpointError
        If nothing fits, a part of the body has no place, a shape differs, only one of two tied tensors changes, or the
        model would hold NaN or Inf; it is then changed in part.
    """
    base = from_module(model)
    assert isinstance(base, Checkpoint)  # a base model carries no adapter
    pairing = pair(base, tuned, include=("",))
    for entry in [*pairing.skipped, *(tuned.skipped if isinstance(tuned, Adapter) else ())]:
        if (entry.problem or (isinstance(tuned, Adapter) and entry in tuned.skipped)) and not HEAD.search(entry.name):
            raise CheckpointError(f"{tuned.label}: {entry.name} cannot be put into the model ({entry.reason})")
    tied = _tied(base)
    written: set[str] = set()
    for found in pairing.pairs:
        if isinstance(found.tuned, LoraUpdate):
            if found.base.tensor in tied:
                raise _untie(tuned, found.base.tensor)
            W0 = found.read_base(dtype=torch.float32, device=str(next(model.parameters()).device))
            if not is_finite(W0):
                raise CheckpointError(
                    f"{base.label}: {found.base.tensor} holds NaN or Inf before {tuned.label} is added; "
                    "use another base"
                )
            found.base.write(found.read_whole(W0))
            written.add(found.base.tensor)
    short = {drop(name, pairing.dropped_prefixes[0]): name for name in base.tensors}
    buffers = {drop(name, pairing.dropped_prefixes[0]) for name, _ in model.named_buffers()}
    tensors = tuned.tensors if isinstance(tuned, Checkpoint) else tuned.replaced
    placed: dict[object, Tensor] = {}
    for name, stored in tensors.items():
        own_name = drop(name, pairing.dropped_prefixes[1])
        place = short.get(own_name)
        if place is None or not _fits(name, stored, base.tensors[place]):
            derived = place is None and (own_name in buffers or _derived(name, stored, model))
            if not HEAD.search(name) and len(stored.shape) > 1 and not derived:
                what = "no place in the model" if place is None else f"shape {list(stored.shape)}, the model's another"
                raise CheckpointError(f"{tuned.label}: {name} has {what}; it was tuned from another model")
            continue
        target, source = base.tensors[place].load(None), stored.load(None)
        before = placed.setdefault(base.tensors[place].storage, source)
        if place in tied and (isinstance(tuned, Adapter) or not torch.equal(before, source)):
            raise _untie(tuned, place)
        if target.ndim:  # of resized vocabularies, the rows that both have
            shared = min(len(target), len(source))
            target[:shared] = source[:shared]
        else:
            target.copy_(source)
        written.add(place)
    for name in written:
        values = base.tensors[name].load(None)
        if (
            values.is_floating_point()
            and drop(name, pairing.dropped_prefixes[0]) not in buffers
            and not is_finite(values)
        ):
            raise CheckpointError(f"{tuned.label}: {name} would hold NaN or Inf in the model; tune it again")
    memory = {base.tensors[name].storage for name in written}  # a tied head was written with its embedding
    left = [name for name, stored in base.tensors.items() if stored.storage not in memory]
    if isinstance(tuned, Checkpoint):
        for name in left:
            if len(base.tensors[name].shape) > 1 and not HEAD.search(name):
                raise CheckpointError(f"{tuned.label}: has no {name}, which the model has; it was tuned from another")
    return left


def _derived(name: str, stored: Stored, model: nn.Module) -> bool:
    """Whether it is no weight but a buffer that old files hold and new models neither save nor keep by that name."""
    known = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()  # transformers' own word for them
    return not stored.dtype.is_floating_point or any(re.search(pattern, name) for pattern in known)


def _fits(name: str, stored: Stored, place: Stored) -> bool:
    resizable = EMBEDDING.search(name) or _VOCABULARY_HEAD.search(name)
    return stored.shape == place.shape or bool(resizable and stored.shape[1:] == place.shape[1:])


def _tied(base: Checkpoint) -> set[str]:
    """The tensors that share their memory with another."""
    names: dict[object, list[str]] = {}
    for name, stored in base.tensors.items():
        names.setdefault(stored.storage, []).append(name)
    return {name for group in names.values() if len(group) > 1 for name in group}


def _untie(tuned: Checkpoint | Adapter, name: str) -> CheckpointError:
    return CheckpointError(
        f"{tuned.label}: changes {name} alone, which the model shares with another tensor; merge it into a model saved "
        "with tie_word_embeddings false"
    )
