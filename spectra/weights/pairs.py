"""Which matrix of the base belongs to which of the tuned checkpoint, and what is left over on either side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PairingError
from ..linalg import LowRank
from .adapter import Adapter, LoraUpdate
from .checkpoint import Checkpoint
from .config import Config
from .layout import Matrix, matrices
from .names import EMBEDDING, HEAD, align, drop, is_default
from .patterns import NamePattern
from .stored import Skipped

UNCHANGED = "unchanged: equal to the base"
_NO_SUCH_MATRIX = (
    "the adapter changes it, but the base has no matrix of that name (some models are saved under other names than "
    "they have in memory: then pass the loaded model as the base, or compare the merged checkpoint)"
)


@dataclass(frozen=True)
class Pair:
    """One matrix on both sides, not yet read.

    Attributes
    ----------
    base : Matrix
    tuned : Matrix or LoraUpdate
    rows : int
        How many leading rows both have: all, but for resized vocabularies.
    """

    base: Matrix
    tuned: Matrix | LoraUpdate
    rows: int

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def note(self) -> str:
        """What a reader of the numbers has to know about this pair."""
        if isinstance(self.tuned, Matrix) and self.tuned.rows != self.base.rows:
            return f"first {self.rows} rows of {self.base.rows} and {self.tuned.rows}"
        return ""

    @property
    def is_double(self) -> bool:
        """Whether either side is stored in double precision, so that single would lose a small ``ΔW``."""
        tuned = (self.tuned.stored,) if isinstance(self.tuned, Matrix) else (self.tuned.A, self.tuned.B)
        return any(stored.dtype == torch.float64 for stored in (self.base.stored, *tuned))

    def read_base(self, *, dtype: torch.dtype, device: str) -> Tensor:
        """``W0``, shape (rows, cols)."""
        return self.base.read(dtype=dtype, device=device)[: self.rows]

    def read_tuned(self, W0: Tensor) -> Tensor | LowRank:
        """``W``, or ``ΔW`` as factors where it has any, in the precision and place of ``W0``."""
        if isinstance(self.tuned, LoraUpdate):
            return self.tuned.apply(W0, self.base.parts)
        return self.tuned.read(dtype=W0.dtype, device=str(W0.device))[: self.rows]

    def read_whole(self, W0: Tensor) -> Tensor:
        """``W``, shape (rows, cols), also where `read_tuned` gives factors of ``ΔW``."""
        tuned = self.read_tuned(W0)
        return W0 + tuned.dense() if isinstance(tuned, LowRank) else tuned


@dataclass(frozen=True)
class Pairing:
    """All pairs of two checkpoints, in the base's order, and everything that has none."""

    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]
    dropped_prefixes: tuple[str, str]


def pair(
    base: Checkpoint | Adapter,
    tuned: Checkpoint | Adapter,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> Pairing:
    """Line two checkpoints up, matrix by matrix, without reading weights.

    Parameters
    ----------
    base, tuned : Checkpoint or Adapter
        Only `tuned` may be an adapter.
    include, exclude : iterables of str
        Regular expressions searched for in the names. With `include`, only what one of them finds is taken; without,
        all but embeddings and heads. `exclude` takes away from either.

    Raises
    ------
    PairingError
        If `base` is an adapter, the two have no name in common, an adapter fits none of the base's modules, or nothing
        is left to compare.
    """
    if isinstance(base, Adapter):
        raise PairingError(f"{base.label}: the base is an adapter; pass the full checkpoint it was trained on")
    if isinstance(tuned, Checkpoint) and tuned.unmerged:
        raise PairingError(
            f"{tuned.label}: holds a LoRA that is not merged into its weights; pass the PeftModel or the adapter's "
            "directory, or merge it (model.merge_and_unload)"
        )
    selects = _selector(include, exclude)
    tuned_config = tuned.config if isinstance(tuned, Checkpoint) else Config({}, tuned.label)
    # One config for both, the base's where it says what the model is: the two must be cut alike.
    config = base.config if "model_type" in base.config else tuned_config
    tied = "tie_word_embeddings"  # but this each side knows for itself
    base_matrices, base_rest = matrices(base.tensors, config.changed(tied, base.config.get(tied)))
    own, tuned_rest = matrices(
        tuned.tensors if isinstance(tuned, Checkpoint) else tuned.replaced, config.changed(tied, tuned_config.get(tied))
    )
    updates = tuned.updates if isinstance(tuned, Adapter) else {}
    base_tensors = [m.tensor for m in base_matrices]
    tuned_tensors = [*(m.tensor for m in own), *(f"{module}.weight" for module in updates)]
    prefixes = align(base_tensors, tuned_tensors)
    candidates: dict[str, Matrix | LoraUpdate] = {}
    clashes = []
    for matrix in sorted(own, key=lambda m: not m.name.startswith(prefixes[1])):
        name = drop(matrix.name, prefixes[1])
        if name in candidates:
            clashes.append(Skipped(matrix.name, f"named like another matrix without its {prefixes[1]!r}", problem=True))
        else:
            candidates[name] = matrix
    by_tensor = {drop(f"{module}.weight", prefixes[1]): module for module in updates}
    matched_modules = set()
    for matrix in base_matrices:
        if module := by_tensor.get(drop(matrix.tensor, prefixes[0])):
            candidates[drop(matrix.name, prefixes[0])] = updates[module]
            matched_modules.add(module)

    unreadable = {drop(entry.name, prefixes[1]) for entry in tuned_rest}  # listed below, each with its own reason
    pairs: list[Pair] = []
    base_rest, tuned_rest = (_excused(rest, selects) for rest in (base_rest, tuned_rest))
    skipped: list[Skipped] = list(base_rest)
    for matrix in base_matrices:
        other = candidates.pop(drop(matrix.name, prefixes[0]), None)
        if left_out := selects(matrix.name):
            skipped.append(Skipped(matrix.name, left_out))
        elif other is None:
            if drop(matrix.name, prefixes[0]) not in unreadable:
                reason = UNCHANGED if isinstance(tuned, Adapter) else "only in the base"
                skipped.append(Skipped(matrix.name, reason))
        elif found := _fit(matrix, other):
            pairs.append(found)
        else:
            skipped.append(Skipped(matrix.name, _mismatch(matrix, other), problem=True))
    listed = {drop(entry.name, prefixes[0]) for entry in base_rest}
    skipped += [entry for entry in tuned_rest if entry.problem or drop(entry.name, prefixes[1]) not in listed]
    skipped += clashes
    skipped += [Skipped(m.name, "only in the tuned checkpoint") for m in candidates.values() if isinstance(m, Matrix)]
    if isinstance(tuned, Adapter):
        skipped += tuned.skipped
        missing = [module for module in updates if module not in matched_modules]
        skipped += [Skipped(module, _NO_SUCH_MATRIX, True) for module in missing]
    unmatched = len(candidates) + len(clashes) == len(own) and not matched_modules
    if unmatched or not pairs:
        _refuse(base, tuned, base_tensors, tuned_tensors, skipped, unmatched)
    return Pairing(tuple(pairs), tuple(skipped), prefixes)


def _selector(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], str | None]:
    """A function from a name to the reason for leaving it out, or None."""
    wanted = [NamePattern(pattern, error=PairingError) for pattern in include]
    unwanted = [NamePattern(pattern, error=PairingError) for pattern in exclude]

    def reason(name: str) -> str | None:
        if any(pattern.search(name) for pattern in unwanted):
            return "excluded by --exclude"
        if wanted:
            return None if any(pattern.search(name) for pattern in wanted) else "not named by --include"
        return None if is_default(name) else "embedding or head: left out unless --include names it"

    return reason


def _excused(entries: list[Skipped], selects: Callable[[str], str | None]) -> list[Skipped]:
    """Damage in what would not have been compared anyway is no problem."""
    return [
        Skipped(entry.name, left_out) if entry.problem and (left_out := selects(entry.name)) else entry
        for entry in entries
    ]


def _fit(base: Matrix, tuned: Matrix | LoraUpdate) -> Pair | None:
    if isinstance(tuned, LoraUpdate):
        return Pair(base, tuned, base.rows) if tuned.shape == _whole_shape(base) else None
    if (base.rows, base.cols) == (tuned.rows, tuned.cols):
        return Pair(base, tuned, base.rows)
    resizable = EMBEDDING.search(base.name) or HEAD.search(base.name)
    return Pair(base, tuned, min(base.rows, tuned.rows)) if resizable and base.cols == tuned.cols else None


def _whole_shape(matrix: Matrix) -> tuple[int, int]:
    """(out, in) of the tensor that a part of a fused matrix belongs to."""
    return math.prod(matrix.stored.shape) // matrix.cols, matrix.cols


def _mismatch(base: Matrix, tuned: Matrix | LoraUpdate) -> str:
    if isinstance(tuned, LoraUpdate):
        return f"shapes differ: {_whole_shape(base)} in the base, {tuned.shape} in the adapter, made for another model"
    return f"shapes differ: {(base.rows, base.cols)} in the base, {(tuned.rows, tuned.cols)} in the tuned checkpoint"


def _refuse(
    base: Checkpoint,
    tuned: Checkpoint | Adapter,
    base_tensors: list[str],
    tuned_tensors: list[str],
    skipped: list[Skipped],
    unmatched: bool,
) -> None:
    for checkpoint, names in ((base, base_tensors), (tuned, tuned_tensors)):
        if not names:
            problems = [entry for entry in skipped if entry.problem]
            why = f" ({problems[0].name}: {problems[0].reason})" if problems else ""
            raise PairingError(f"{checkpoint.label}: holds no weight matrices{why}")
    if unmatched:
        what = "the adapter fits no module of the base" if isinstance(tuned, Adapter) else "no tensor name in common"
        raise PairingError(
            f"{base.label} and {tuned.label}: {what}; the base has {_three(base_tensors)}, "
            f"the other {_three(tuned_tensors)}; pass two checkpoints of one model"
        )
    if first := next((entry for entry in skipped if entry.problem), None):
        raise PairingError(f"{base.label} and {tuned.label}: nothing can be compared, as {first.name}: {first.reason}")
    raise PairingError(
        f"{base.label} and {tuned.label}: every matrix they share is left out; change --include or --exclude"
    )


def _three(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
