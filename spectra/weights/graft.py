"""Tuned weights put into a live model that holds the base's."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import CheckpointError
from ..linalg import LowRank
from .adapter import Adapter, LoraUpdate
from .checkpoint import Checkpoint
from .live import from_module
from .names import drop
from .pairs import pair


@torch.no_grad()
def graft(model: nn.Module, tuned: Checkpoint | Adapter) -> list[str]:
    """Overwrite the weights of a live base model by those of a checkpoint of it, or by what an adapter makes of them.

    The two need not have the same head: the body of a tuned classifier goes into a language model, which keeps its
    own head. So what is measured is the tuned weights, with no fresh parameter among them.

    Parameters
    ----------
    model : nn.Module
        Changed in place; what `tuned` does not have stays as it is.
    tuned : Checkpoint or Adapter

    Returns
    -------
    list of str
        The model's tensors that were left as they are.

    Raises
    ------
    PairingError, CheckpointError
        If nothing fits, a shape differs, or an adapter holds something this cannot apply.
    """
    base = from_module(model)
    assert isinstance(base, Checkpoint)  # a base model carries no adapter
    written: set[str] = set()
    pairing = pair(base, tuned, include=("",))
    if isinstance(tuned, Adapter):
        if lost := next((entry for entry in tuned.skipped), None):
            raise CheckpointError(f"{tuned.label}: {lost.name} cannot be put into a model ({lost.reason}); merge it")
        for found in pairing.pairs:
            if isinstance(found.tuned, LoraUpdate):
                W0 = found.read_base(dtype=torch.float32, device=str(next(model.parameters()).device))
                W = found.read_tuned(W0)
                found.base.write(W0 + W.dense() if isinstance(W, LowRank) else W)
                written.add(found.base.tensor)
    names = {drop(name, pairing.dropped_prefixes[0]): name for name in base.tensors}
    for name, stored in (tuned.tensors if isinstance(tuned, Checkpoint) else tuned.replaced).items():
        place_name = names.get(drop(name, pairing.dropped_prefixes[1]))
        if place_name is None:  # another head
            continue
        place = base.tensors[place_name]
        if place.shape[1:] != stored.shape[1:]:
            raise CheckpointError(
                f"{tuned.label}: {name} has shape {list(stored.shape)}, the model's has {list(place.shape)}; "
                "it was tuned from another model"
            )
        target, source = place.load(None), stored.load(None)
        if target.ndim:  # of resized vocabularies, the rows that both have
            shared = min(len(target), len(source))
            target[:shared] = source[:shared]
        else:
            target.copy_(source)
        written.add(place_name)
    memory = {base.tensors[name].storage for name in written}  # a tied head was written with its embedding
    return [name for name, stored in base.tensors.items() if stored.storage not in memory]
