"""What each tuning method makes trainable. A method is one function and one row in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from ..errors import RecipeError
from ..weights import is_default
from ..weights.names import HEAD
from ..weights.patterns import NamePattern

if TYPE_CHECKING:
    from .recipe import Recipe


def full(model: nn.Module, recipe: Recipe, modules: list[str], heads: list[str]) -> nn.Module:
    """Train the weights (and biases) of the chosen modules themselves."""
    model.requires_grad_(False)
    for name in (*modules, *heads):
        model.get_submodule(name).requires_grad_(True)
    return model


def lora(model: nn.Module, recipe: Recipe, modules: list[str], heads: list[str], **options: Any) -> nn.Module:
    """Train a low-rank update ``α/r · BA`` of each chosen module (Hu et al., arXiv 2106.09685)."""
    from peft import LoraConfig, get_peft_model

    alpha = recipe.lora_alpha
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,  # type: ignore[arg-type]  # any number works
        lora_dropout=0.0,
        target_modules=modules,
        modules_to_save=heads or None,
        fan_in_fan_out=any(_is_conv1d(model.get_submodule(name)) for name in modules),
        **options,
    )
    adapted: nn.Module = get_peft_model(model, config)
    return adapted


def rslora(model: nn.Module, recipe: Recipe, modules: list[str], heads: list[str]) -> nn.Module:
    """LoRA with the scale ``α/√r`` (Kalajdzievski, arXiv 2312.03732)."""
    return lora(model, recipe, modules, heads, use_rslora=True)


def dora(model: nn.Module, recipe: Recipe, modules: list[str], heads: list[str]) -> nn.Module:
    """LoRA that trains the norm of each row apart from its direction (Liu et al., arXiv 2402.09353)."""
    return lora(model, recipe, modules, heads, use_dora=True)


def lora_fa(model: nn.Module, recipe: Recipe, modules: list[str], heads: list[str]) -> nn.Module:
    """LoRA with A orthonormal and frozen, only B trained (as arXiv 2410.21228 does to plant fewer)."""
    adapted = lora(model, recipe, modules, heads)
    for name, parameter in adapted.named_parameters():
        if ".lora_A." in name:
            nn.init.orthogonal_(parameter)
            parameter.requires_grad_(False)
    return adapted


METHODS: dict[str, Callable[[nn.Module, Recipe, list[str], list[str]], nn.Module]] = {
    "full": full,
    "lora": lora,
    "rslora": rslora,
    "dora": dora,
    "lora-fa": lora_fa,
}


def prepare(model: nn.Module, recipe: Recipe) -> Any:
    """`model` with what the recipe's method trains, and nothing else, requiring gradients."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) or _is_conv1d(module)]
    if recipe.modules == "all-linear":
        modules = [name for name in linear if is_default(name)]
    else:
        wanted = NamePattern(recipe.modules, error=RecipeError)
        modules = [name for name in linear if wanted.fullmatch(name)]
    if not modules:
        raise RecipeError(
            f"modules: {recipe.modules!r} matches none of the linear modules, such as {', '.join(linear[:3])}"
        )
    heads = _new_heads(model, linear)
    modules = [name for name in modules if not any(name == head or name.startswith(f"{head}.") for head in heads)]
    if not modules:
        raise RecipeError(f"modules: {recipe.modules!r} matches the new head alone, which is trained in any case")
    return METHODS[recipe.method](model, recipe, modules, heads)


def _new_heads(model: nn.Module, linear: list[str]) -> list[str]:
    """The outermost modules of a classifier's head; a language model's head is pretrained and stays as it is."""
    if not getattr(model.config, "problem_type", None):
        return []
    found = [HEAD.search(name) for name in linear]
    return sorted({match.string[: match.end()].rstrip(".") for match in found if match})


def _is_conv1d(module: Any) -> bool:
    return type(module).__name__ == "Conv1D"
