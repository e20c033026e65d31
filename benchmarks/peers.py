"""What we are measured against, each through its own code."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from .matrices import State, lora


def paper(base: State, tuned: list[State]) -> list[int]:
    """Intruders at 0.5 among the ten leading vectors by the procedure of arXiv 2410.21228, for each checkpoint."""
    return [sum(_paper_count(W0, state[name]) for name, W0 in base.items()) for state in tuned]


def _paper_count(W0: Tensor, W: Tensor) -> int:
    U0 = torch.linalg.svd(W0, full_matrices=False)[0]
    U = torch.linalg.svd(W, full_matrices=False)[0]
    return int(((U0.T @ U).abs().max(dim=0).values[:10] < 0.5).sum())


class Stack(torch.nn.Module):
    """A few linear layers, to put adapters on."""

    def __init__(self, weights: State) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleDict()
        for name, W in weights.items():
            layer = torch.nn.Linear(W.shape[1], W.shape[0], bias=False)
            layer.weight.data = W
            self.layers[name.removesuffix(".weight").replace(".", "_")] = layer


def with_lora(model: Stack, rank: int, generator: torch.Generator) -> Any:
    """The model with a peft adapter of random factors on every layer, as strong as the base."""
    import peft

    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=list(model.layers))
    tuned = peft.get_peft_model(copy.deepcopy(model), config)
    for module in tuned.modules():
        if isinstance(module, peft.tuners.lora.Linear):
            update = lora(module.base_layer.weight.data, rank, generator)
            module.lora_B["default"].weight.data = update.B * update.scale
            module.lora_A["default"].weight.data = update.A
    return tuned


def peft_reduction(tuned: Any) -> int:
    """peft's `reduce_intruder_dimension` on a live model: it finds the intruders, and writes a smaller adapter."""
    from peft.tuners.lora.intruders import reduce_intruder_dimension

    said: list[str] = []
    reduce_intruder_dimension(tuned, logging_sink=said.append)
    tuned.delete_adapter("intruder_reduced")
    return sum(int(line.rsplit("Intruders: ")[1]) for line in said if "Intruders: " in line)
