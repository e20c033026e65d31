"""What a notebook holds: a state dict, a module, a PEFT model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import CheckpointError
from .adapter import Adapter, adapter_from
from .checkpoint import Checkpoint
from .config import Config
from .stored import find_state_dict, in_memory


def from_state_dict(state: Mapping[str, Any]) -> Checkpoint:
    """A mapping of names to tensors."""
    return _checkpoint("state dict", find_state_dict(state, Tensor, "state dict"), {})


def from_module(module: nn.Module) -> Checkpoint | Adapter:
    """A module as it stands; a PEFT model whose adapter is not merged, as that adapter."""
    label = f"{type(module).__name__} in memory"
    if _is_peft_model(module) and not _is_merged(module):
        return _adapter(label, module)
    merged = _is_merged(module)
    state = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if ".original_module." not in name and not (merged and ".lora_" in name)
    }
    to_dict = getattr(getattr(module, "config", None), "to_dict", dict)
    return _checkpoint(label, state, Config(to_dict(), f"the config of {label}"))


def _checkpoint(label: str, state: Mapping[str, Any], config: Mapping[str, Any]) -> Checkpoint:
    tensors = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            if value.device.type == "meta":
                raise CheckpointError(f"{label}: tensor {name!r} is on the meta device, without data; load the weights")
            tensors[str(name)] = in_memory(value, f"{label}: {name}")
    if not tensors:
        raise CheckpointError(f"{label}: holds no tensors; pass model.state_dict() or the model itself")
    return Checkpoint.of(label, "in memory", tensors, config)


def _is_peft_model(module: nn.Module) -> bool:
    # By name, as peft is only imported by whoever has such a model. The second is transformers' own add_adapter.
    return "PeftModel" in {part.__name__ for part in type(module).__mro__} or getattr(
        module, "_hf_peft_config_loaded", False
    )


def _is_merged(module: nn.Module) -> bool:
    return any(getattr(part, "merged_adapters", None) for part in module.modules())


def _adapter(label: str, module: Any) -> Adapter:
    from peft import get_peft_model_state_dict  # only a PEFT model gets here, so it is imported already

    active = module.active_adapters
    active = list(active() if callable(active) else active)  # a method in transformers, a property in peft
    if len(active) != 1:
        raise CheckpointError(
            f"{label}: {len(active)} adapters are active ({', '.join(active)}); activate the one to compare"
        )
    # Embeddings are left out here: deciding on them would ask the hub. With the state dict given, peft does not warn
    # of one-dimensional tensors, among which it counts LoRA's biases.
    state = get_peft_model_state_dict(
        module, state_dict=module.state_dict(), adapter_name=active[0], save_embedding_layers=False
    )
    config = Config(module.peft_config[active[0]].to_dict(), f"the adapter's config of {label}")
    config["peft_type"] = getattr(config["peft_type"], "value", config["peft_type"])
    return adapter_from(label, {name: in_memory(t, f"{label}: {name}") for name, t in state.items()}, config)
