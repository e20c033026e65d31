"""PEFT LoRA adapters: which matrices they change, and by what, without merging anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..linalg import LowRank
from .config import Config
from .fused import Rows
from .layout import take_rows
from .names import strip_wrappers
from .patterns import Patterns
from .stored import Skipped, Stored

_KEY = re.compile(
    r"^(?P<module>.+)\.lora_(?P<role>A|B|embedding_A|embedding_B|magnitude_vector)(\.weight)?$", re.DOTALL
)
# Options that make the saved factors mean something else than W0 + s·BA.
_OTHER_LORAS = (
    "target_parameters",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "layer_replication",
    "arrow_config",
    "kasa_config",
)
# Initialisations that also change the base weights, so that the factors alone are not the update.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")

_ALPHA = 8.0  # PEFT's default
_GREATEST_ALPHA = 1e6


@dataclass(frozen=True)
class LoraUpdate:
    """What a LoRA adapter does to one matrix: ``W0 + s·BA``, row-normalised for DoRA.

    Attributes
    ----------
    A, B : Stored
        Factors of shape (r, in) and (out, r); kernels of a convolution flatten to that.
    scale : float
        ``alpha / r`` or ``alpha / sqrt(r)``.
    embedding : bool
        The weight is (vocabulary, dimension) and the update ``(BA)ᵀ``.
    magnitude : Stored or None
        DoRA's magnitudes, one an output row (one a column of an embedding).
    """

    A: Stored
    B: Stored
    scale: float
    embedding: bool = False
    magnitude: Stored | None = None

    @property
    def rank(self) -> int:
        return self.A.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in) of the whole matrix it updates."""
        out, inp = self.B.shape[0], math.prod(self.A.shape[1:])
        return (inp, out) if self.embedding else (out, inp)

    def factors(self, *, dtype: torch.dtype, device: str) -> LowRank:
        """``s·BA`` as factors of the whole matrix, (out, r) and (r, in)."""
        A = self.A.load(None).to(device=device, dtype=dtype).flatten(1)
        B = self.B.load(None).to(device=device, dtype=dtype).flatten(1)
        return LowRank(A.mT, B.mT, self.scale) if self.embedding else LowRank(B, A, self.scale)

    def apply(self, W0: Tensor, parts: Rows | None) -> Tensor | LowRank:
        """``ΔW`` as factors for a base matrix (the rows `parts` of it); for DoRA, ``W``.

        DoRA rescales each row: ``W = m · (W0 + s·BA) / ‖W0 + s·BA‖`` (Liu et al., arXiv 2402.09353, eq. 5), so its
        ``ΔW`` is not of low rank.
        """
        whole = self.factors(dtype=W0.dtype, device=str(W0.device))
        update = LowRank(take_rows(whole.B, parts), whole.A, whole.scale)
        if self.magnitude is None:
            return update
        W = W0 + update.dense()
        magnitude = self.magnitude.load(None).to(W0).flatten()
        along = 0 if self.embedding else 1
        wanted = magnitude[None] if self.embedding else take_rows(magnitude[:, None], parts)
        W *= wanted / torch.linalg.vector_norm(W, dim=along, keepdim=True)
        return W


@dataclass(frozen=True)
class Adapter:
    """A PEFT LoRA adapter.

    Attributes
    ----------
    label : str
        What the user called it.
    config : dict
        ``adapter_config.json``.
    updates : dict of str to LoraUpdate
        By module name, wrappers removed.
    replaced : dict of str to Stored
        Whole tensors the adapter brings (``modules_to_save``, biases), by tensor name.
    skipped : tuple of Skipped
        What it holds that is neither.
    files : tuple of Path
        Empty for a live model.
    """

    label: str
    config: Mapping[str, Any]
    updates: dict[str, LoraUpdate]
    replaced: dict[str, Stored]
    skipped: tuple[Skipped, ...] = ()
    files: tuple[Path, ...] = ()
    revision: str | None = None
    kind: str = field(default="PEFT LoRA adapter")


def adapter_from(
    label: str,
    tensors: Mapping[str, Stored],
    config: Mapping[str, Any],
    *,
    files: tuple[Path, ...] = (),
    revision: str | None = None,
) -> Adapter:
    """Sort an adapter's tensors into updates and replaced tensors.

    Raises
    ------
    CheckpointError
        If it is not LoRA, is a variant whose factors mean something else, or a factor lacks its other half.
    """
    config = Config.of(config)
    _refuse_other_kinds(label, config)
    roles: dict[str, dict[str, Stored]] = {}
    replaced: dict[str, Stored] = {}
    skipped: list[Skipped] = []
    for key, stored in tensors.items():
        name = strip_wrappers(key)
        if match := _KEY.match(name):
            roles.setdefault(match["module"], {})[match["role"]] = stored
        elif name.endswith(".lora_B.bias"):
            skipped.append(Skipped(name, "not a matrix: 1-D"))
        elif "token_adapter" in name:
            skipped.append(Skipped(name, "single trained token rows are not compared; merge the adapter", problem=True))
        else:
            replaced[name] = stored
    scales = _Scales.of(config)
    updates = {module: _update(label, module, found, scales) for module, found in roles.items()}
    if not updates and not replaced:
        raise CheckpointError(f"{label}: the adapter holds no LoRA factors; save it again with save_pretrained")
    return Adapter(label, config, updates, replaced, tuple(skipped), files, revision)


def _refuse_other_kinds(label: str, config: Config) -> None:
    merge = "merge it (model.merge_and_unload) and compare the merged checkpoint"
    if config.text("peft_type") != "LORA":
        kind = repr(config.text("peft_type")[:40])[1:-1] or "nameless"
        raise CheckpointError(f"{label}: a {kind} adapter; only LoRA is read so far, {merge}")
    for option in _OTHER_LORAS:
        if config.get(option):
            raise CheckpointError(f"{label}: a LoRA variant ({option}) that is not read so far; {merge}")
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        raise CheckpointError(
            f"{label}: initialised with {init[:40]!r}, which also changed the base weights; save it converted "
            "(save_pretrained with path_initial_model_for_weight_conversion) or merge it"
        )


@dataclass(frozen=True)
class _Scales:
    """What a config says of the scales of an adapter's updates."""

    config: Config
    patterns: Patterns
    ranks: Patterns
    rank_stabilised: bool

    @classmethod
    def of(cls, config: Config) -> _Scales:
        alphas = config.section("alpha_pattern")
        values = {pattern: alphas.number(pattern, default=_ALPHA, most=_GREATEST_ALPHA) for pattern in alphas}
        section = config.section("rank_pattern")
        ranks = {pattern: section.count(pattern, default=None) for pattern in section}
        return cls(config, Patterns(values, alphas.source), Patterns(ranks, section.source), config.flag("use_rslora"))

    def rank_of(self, module: str) -> int | None:
        """The rank that the config gives a module; None where it gives none."""
        rank: int | None = self.ranks.value(module, self.config.count("r", default=None))
        return rank

    def of_module(self, module: str, rank: int) -> float:
        alpha = self.patterns.value(module, self.config.number("lora_alpha", default=_ALPHA, most=_GREATEST_ALPHA))
        return float(alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank)


def _update(label: str, module: str, found: Mapping[str, Stored], scales: _Scales) -> LoraUpdate:
    embedding = "embedding_A" in found or "embedding_B" in found
    names = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    if embedding and ("A" in found or "B" in found):
        raise _damaged(label, module, "has the factors of an embedding and of a linear layer")
    for name in names:
        if name not in found:
            raise _damaged(label, module, f"has no lora_{name}; the adapter is incomplete")
    for name, stored in found.items():
        if stored.unreadable:
            raise CheckpointError(f"{label}: {module!r} lora_{name} is {stored.unreadable}")
        if 0 in stored.shape or (len(stored.shape) < 2 and name in names):
            raise CheckpointError(
                f"{label}: {module!r} lora_{name} has shape {list(stored.shape)}, a ZeRO-3 or FSDP shard that was "
                "saved without gathering; gather the parameters and save it again"
            )
        if not stored.dtype.is_floating_point:
            raise _damaged(label, module, f"lora_{name} is stored as {str(stored.dtype).removeprefix('torch.')}")
    A, B, magnitude = found[names[0]], found[names[1]], found.get("magnitude_vector")
    if A.shape[0] != math.prod(B.shape[1:]):
        raise _damaged(
            label, module, f"has factors of shape {list(B.shape)} and {list(A.shape)}, which do not multiply"
        )
    if (rank := scales.rank_of(module)) not in (None, A.shape[0]):
        raise _damaged(label, module, f"has factors of rank {A.shape[0]}, where its config says {rank}")
    if magnitude is None and scales.config.flag("use_dora"):
        raise _damaged(label, module, "has no DoRA magnitudes, which its config says there are")
    update = LoraUpdate(A, B, scales.of_module(module, A.shape[0]), embedding, magnitude)
    if magnitude is not None and math.prod(magnitude.shape) != update.shape[1 if embedding else 0]:
        raise _damaged(
            label, module, f"has DoRA magnitudes of shape {list(magnitude.shape)} for a matrix of {list(update.shape)}"
        )
    return update


def _damaged(label: str, module: str, what: str) -> CheckpointError:
    return CheckpointError(f"{label}: {module!r} {what}; save the adapter again")
