"""Go through the pairs of two or more checkpoints, one matrix in memory at a time, and make a row of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .examined import Examined
from .intruders import BaseMatrix
from .linalg import LowRank, is_finite, random_direction_null
from .update import Update
from .weights import Pair, Pairing, Skipped, locate
from .weights.pairs import UNCHANGED

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Measuring:
    """What is asked of each pair, beyond the checkpoints: the options of `compare`."""

    k: int
    epsilons: tuple[float, ...]
    side: str
    method: str
    ranks: str
    dtype: torch.dtype
    device: str


_Entry = tuple[int, Pair]


def measure(
    pairings: Sequence[Pairing], options: Measuring, progress: Progress | None
) -> list[tuple[list[dict[str, Any]], list[Skipped]]]:
    """Rows and skipped entries of each tuned checkpoint; the base's side of a matrix is computed once for all."""
    tables: list[tuple[list[dict[str, Any]], list[Skipped]]] = [([], list(p.skipped)) for p in pairings]
    # What is read of the base can differ between tuned ones: rows shared, orientation and cut known from their config,
    # precision.
    todo: dict[Any, list[_Entry]] = {}
    for index, pairing in enumerate(pairings):
        for one in pairing.pairs:
            todo.setdefault((one.base, one.rows, one.is_double), []).append((index, one))
    pieces = _loaded(list(todo.values()), options)
    if options.device != "cpu":  # there, reading and computing do not compete; here, it would cost a pair's memory
        pieces = _read_ahead(pieces)
    base: BaseMatrix | None = None
    of_all = 0
    for done, num_tuned, (index, one), W0, tuned in pieces:
        if num_tuned:  # a matrix that was not there before
            base, of_all = None, num_tuned
            if progress:
                progress(done, len(todo), one.name)
        rows, skipped = tables[index]
        update = _update(one, W0, tuned)
        if isinstance(update, Skipped):
            skipped.append(update)
        else:
            base = base or BaseMatrix(W0, options.method, options.k, of_all)
            measures = update.measures(options.ranks)  # first, as it finds the directions on its way
            examined = base.examine(update, options.k, options.side, options.epsilons)
            rows.append(_row(one, examined, options, update, measures))
    if progress:
        progress(len(todo), len(todo), "")
    return tables


def none_measurable(pairing: Pairing, options: Measuring) -> list[Skipped]:
    """Why, if every matrix of a checkpoint is unchanged or broken; empty if one is neither, known at the first."""
    skipped = list(pairing.skipped)
    for _, _, (_, one), W0, tuned in _loaded([[(0, one)] for one in pairing.pairs], options):
        update = _update(one, W0, tuned)
        if not isinstance(update, Skipped):
            return []
        skipped.append(update)
    return skipped


_Piece = tuple[int, int, _Entry, Tensor, Tensor | LowRank]


def _loaded(todo: Sequence[Sequence[_Entry]], options: Measuring) -> Iterator[_Piece]:
    """One by one: number of the matrix, how many tuned it has (0 after the first), the entry, ``W0``, the tuned."""
    for done, entries in enumerate(todo):
        dtype = torch.float64 if entries[0][1].is_double else options.dtype
        W0 = entries[0][1].read_base(dtype=dtype, device=options.device)
        for position, entry in enumerate(entries):
            yield done, 0 if position else len(entries), entry, W0, entry[1].read_tuned(W0)


def _read_ahead(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """The same, each read while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reader.submit(next, pieces, None)
            yield piece


def _update(one: Pair, W0: Tensor, tuned: Tensor | LowRank) -> Update | Skipped:
    """The update of a pair, or why there is none to measure."""
    if reason := _not_finite(W0, tuned):
        return Skipped(one.name, reason, problem=True)
    try:
        update = Update(W0, tuned)
    except OverflowError:
        return Skipped(one.name, "the adapter's scale and factors multiply to more than any number", problem=True)
    if update.is_zero():
        return Skipped(one.name, UNCHANGED)
    if update.base_norm and not math.isfinite(update.norm / update.base_norm):
        reason = f"base and tuned differ too much in size ({update.base_norm:.3g} and {update.norm:.3g}) to be compared"
        return Skipped(one.name, reason, problem=True)
    return update


def _not_finite(W0: Tensor, tuned: Tensor | LowRank) -> str:
    """Where a pair holds NaN or Inf, in words; empty where it holds none."""
    parts = {"base": [W0], "tuned checkpoint": [tuned] if isinstance(tuned, Tensor) else [tuned.B, tuned.A]}
    for where, tensors in parts.items():
        if not all(map(is_finite, tensors)):
            count = sum(int((~torch.isfinite(tensor)).sum()) for tensor in tensors)
            return f"the {where} holds {count} NaN or Inf values here"
    return ""


def _row(
    one: Pair, examined: list[Examined], options: Measuring, update: Update, measures: dict[str, float]
) -> dict[str, Any]:
    _, layer, module = locate(one.name)
    epsilon, W0 = options.epsilons[0], update.W0
    spectral_norm = float(examined[0].base_singular_values[0])
    notes = [one.note]
    row: dict[str, Any] = {"name": one.name, "layer": layer, "module": module, "rows": W0.shape[0], "cols": W0.shape[1]}
    for suffix, found in zip(("", "_right"), examined, strict=False):
        intruders = found.intruders(epsilon)
        values = found.singular_values[intruders].double()
        num_leading = min(2 * options.k, found.num_base_vectors)
        null = random_direction_null(found.dimension, found.num_base_vectors) if found.num_base_vectors else None
        if found.note not in notes:
            notes.append(found.note)
        row |= {
            # Not none of ten but no count at all, where a zero base has nothing to match.
            f"num_intruders{suffix}": len(intruders) if null else None,
            f"intruders{suffix}": intruders,
            f"max_cosine{suffix}": found.max_cosine.tolist(),
            f"max_cosine_lower{suffix}": found.lower.tolist(),
            f"max_cosine_upper{suffix}": found.upper.tolist(),
            f"nearest{suffix}": found.nearest.tolist(),
            f"singular_values{suffix}": found.singular_values.tolist(),
            f"base_singular_values{suffix}": found.base_singular_values[: len(found.lower)].tolist(),
            f"novelty{suffix}": found.novelty.tolist(),
            # Five digits: these are for a picture, and there are k² of them.
            f"cosines{suffix}": [[round(c, 5) for c in line] for line in found.cosines.tolist()],
            f"intruder_energy_share{suffix}": _share(values, update.norm),
            f"intruder_delta_share{suffix}": _share(values, measures["delta_norm"]),
            f"null_cosine{suffix}": null.quantile(0.5) if null else math.nan,
            f"null_cosine_q99{suffix}": null.quantile(0.99) if null else math.nan,
            f"null_intruder_rate{suffix}": null.prob_below(epsilon) if null else math.nan,
            f"null_novelty{suffix}": 1 - num_leading / found.dimension,
        }
    return row | {
        **measures,
        "spike_ratio": measures["delta_spectral_norm"] / spectral_norm if spectral_norm else float("nan"),
        "method": examined[0].method,
        "note": "; ".join(filter(None, notes)),
    }


def _share(values: Tensor, norm: float) -> float:
    return float(((values / norm) ** 2).sum()) if len(values) else 0.0
