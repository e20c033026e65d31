"""Names: what wrappers add to them, how two sides line up, and which belong to embeddings and heads."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import PairingError

# What torch.compile, FSDP, activation checkpointing and PEFT put in the middle of a name.
_INFIX = re.compile(
    r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|base_layer|modules_to_save\.[^.]+)\."
)
# What DataParallel, DeepSpeed and PEFT put in front.
_PREFIX = re.compile(r"^(base_model\.model\.|module\.)+")

EMBEDDING = re.compile(
    r"(^|[._])(embed(ding)?s?|wte|wpe|embed_tokens|embed_positions|embed_in|tok_embeddings"
    r"|(word|position|positional|token_type|patch)_embeddings?|tokens_embed|positions_embed|shared"
    r"|relative_attention_bias)(\.|$)"
)
# BERT's pooler counts as a head: it feeds the classifier only, and many encoders ship it untrained.
HEAD = re.compile(
    r"(^|\.)(pooler|lm_head|embed_out|score|classifier|classification_head|pre_classifier|qa_outputs|cls|mlm_head"
    r"|vocab_transform|vocab_projector|generator_lm_head|generator_predictions|logits_proj)(\.|$)"
)


def strip_wrappers(name: str) -> str:
    """`name` without what compilers, parallel wrappers and PEFT add to it.

    >>> strip_wrappers("module._orig_mod.base_model.model.layers.0.q_proj.base_layer.weight")
    'layers.0.q_proj.weight'
    """
    previous = None
    while name != previous:
        previous, name = name, _PREFIX.sub("", _INFIX.sub("", name))
    return name


def is_default(name: str) -> bool:
    """Whether a matrix is compared unless asked otherwise: all but embeddings and heads (the paper's set)."""
    return not EMBEDDING.search(name) and not HEAD.search(name)


def align(base: Iterable[str], tuned: Iterable[str]) -> tuple[str, str]:
    """The leading parts to drop from each side so that the most names agree.

    ``bert.encoder.…`` against ``encoder.…`` gives ``("bert.", "")``. Dropping nothing wins a tie, then dropping
    fewer parts. Parts that hold a number are never dropped: layer 0 of one side is not the whole of the other.

    Returns
    -------
    base_prefix, tuned_prefix : str
        Each ends in a dot, or is empty.

    Raises
    ------
    PairingError
        If two ways of dropping fit equally well and pair different tensors.
    """
    base, tuned = set(base), set(tuned)
    met = {(b, t): _meeting(base, tuned, b, t) for b in _leading_parts(base) for t in _leading_parts(tuned)}

    def rank(prefixes: tuple[str, str]) -> tuple[int, int]:
        return len(met[prefixes]), -sum(prefix.count(".") for prefix in prefixes)

    best = max(met, key=rank)
    # Encoder and decoder of one model can both fit the bare names of one of them; that is not ours to guess.
    for rival in met:
        if rank(rival) == rank(best) and met[rival] != met[best]:
            one, other = ("".join(prefixes) for prefixes in (best, rival))
            raise PairingError(
                f"the names fit without {one!r} as well as without {other!r}; pass checkpoints of the whole model, or "
                "only the part that was tuned"
            )
    return best


def _meeting(base: set[str], tuned: set[str], base_prefix: str, tuned_prefix: str) -> frozenset[tuple[str, str]]:
    """The names of the two sides that agree once the prefixes are dropped."""
    by_short = {drop(name, tuned_prefix): name for name in sorted(tuned)}
    return frozenset((name, by_short[short]) for name in base if (short := drop(name, base_prefix)) in by_short)


def drop(name: str, prefix: str) -> str:
    """`name` without `prefix`, where it has it."""
    return name.removeprefix(prefix)


def _leading_parts(names: set[str], depth: int = 3) -> list[str]:
    found = {""}
    for name in names:
        parts = name.split(".")[:-2]  # a prefix leaves at least module and tensor name
        for length in range(1, min(depth, len(parts)) + 1):
            if any(part.isdigit() for part in parts[:length]):
                break
            found.add(".".join(parts[:length]) + ".")
    return sorted(found, key=lambda part: (len(part), part))[:32]


def locate(name: str) -> tuple[str, int | None, str]:
    """Where a matrix sits: its stack, its layer number and what it is within the layer.

    >>> locate("model.layers.3.self_attn.q_proj")
    ('model.layers', 3, 'self_attn.q_proj')
    >>> locate("pooler.dense")
    ('', None, 'pooler.dense')
    """
    found = re.match(r"(?:(.*?)\.)?(\d+)\.(.+)$", name)
    return (found[1] or "", int(found[2]), found[3]) if found else ("", None, name)
