"""Which rows of a fused projection are query, key, value, gate and up; known only from the model's config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import CheckpointError
from .config import Config

Rows = tuple[range, ...]


def fused_rows(tensor_name: str, rows: int, config: Mapping[str, Any]) -> dict[str, Rows]:
    """The parts of a fused ``(rows, in)`` matrix, e.g. ``{"q": …, "k": …, "v": …}``; empty when it is not fused.

    A layout whose sizes do not fit `rows` is left whole rather than cut in the wrong place.

    Raises
    ------
    CheckpointError
        If the config's numbers of heads make no sense.
    """
    config = Config.of(config)
    if "crossattention" in tensor_name:  # GPT-2's fuses key and value only, under the same name
        return {}
    rule = _RULES.get((config.text("model_type"), tensor_name.removesuffix(".weight").rsplit(".", 1)[-1]))
    if rule is None:
        return {}
    names, (groups, shares) = rule[0], rule[1](config)
    unit, rest = divmod(rows, groups * sum(shares))
    if rest or (rule[1] not in (_equal_blocks, _halves) and unit != (_head_size(config) or unit)):
        return {}
    parts: dict[str, list[range]] = {name: [] for name in names}
    start = 0
    for _ in range(groups):
        for name, share in zip(names, shares, strict=True):
            parts[name].append(range(start, start + share * unit))
            start += share * unit
    return {name: tuple(ranges) for name, ranges in parts.items()}


# A layout: so many groups of rows after each other, and within each group the shares of the parts in order.
Layout = tuple[int, tuple[int, ...]]


def _heads(config: Config) -> int:
    return config.count("num_attention_heads", "n_head", "n_heads", default=1)


def _head_size(config: Config) -> int:
    """Rows of a head, 0 where the config does not tell."""
    width = config.count("hidden_size", "d_model", "n_embd", default=0)
    return config.count("head_dim", default=0) or (0 if width % _heads(config) else width // _heads(config))


def _equal_blocks(config: Config) -> Layout:
    return 1, (1, 1, 1)


def _halves(config: Config) -> Layout:
    return 1, (1, 1)


def _head_by_head(config: Config) -> Layout:
    return _heads(config), (1, 1, 1)


def _grouped_query_blocks(config: Config) -> Layout:
    own = config.count("num_key_value_heads", default=_heads(config))
    key_value = config.section("attn_config").count("kv_n_heads", default=own)
    return 1, (_per_group(config, key_value) * key_value, key_value, key_value)


def _falcon(config: Config) -> Layout:
    if config.flag("new_decoder_architecture"):
        groups = config.count("num_kv_heads", default=_heads(config))
        return groups, (_per_group(config, groups), 1, 1)
    return _bigcode(config)


def _bigcode(config: Config) -> Layout:
    return (1, (_heads(config), 1, 1)) if config.flag("multi_query", default=True) else _head_by_head(config)


def _per_group(config: Config, groups: int) -> int:
    """How many heads share a key and a value."""
    if _heads(config) % groups:
        raise CheckpointError(
            f"{config.source}: {_heads(config)} heads cannot share {groups} keys and values evenly; correct these "
            "numbers or download it again"
        )
    return _heads(config) // groups


_QKV = ("q", "k", "v")
_RULES: dict[tuple[str, str], tuple[tuple[str, ...], Callable[[Config], Layout]]] = {
    ("gpt2", "c_attn"): (_QKV, _equal_blocks),
    ("openai-gpt", "c_attn"): (_QKV, _equal_blocks),
    ("imagegpt", "c_attn"): (_QKV, _equal_blocks),
    ("decision_transformer", "c_attn"): (_QKV, _equal_blocks),
    ("gpt_bigcode", "c_attn"): (_QKV, _bigcode),
    ("gpt_neox", "query_key_value"): (_QKV, _head_by_head),
    ("gpt_neox_japanese", "query_key_value"): (_QKV, _head_by_head),
    ("bloom", "query_key_value"): (_QKV, _head_by_head),
    ("persimmon", "query_key_value"): (_QKV, _head_by_head),
    ("falcon", "query_key_value"): (_QKV, _falcon),
    ("mpt", "Wqkv"): (_QKV, _equal_blocks),
    ("modernbert", "Wqkv"): (_QKV, _equal_blocks),
    ("modernbert", "Wi"): (("up", "gate"), _halves),
    ("dbrx", "Wqkv"): (_QKV, _grouped_query_blocks),
    ("phi3", "qkv_proj"): (_QKV, _grouped_query_blocks),
    ("phi3", "gate_up_proj"): (("gate", "up"), _halves),
    ("glm", "gate_up_proj"): (("gate", "up"), _halves),
    ("glm4", "gate_up_proj"): (("gate", "up"), _halves),
}
