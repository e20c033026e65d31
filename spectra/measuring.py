"""Go through the pairs of two or more checkpoints, one matrix in memory at a time, and make a row of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .examined import BaseSide, Examined
from .intruders import method_for
from .linalg import LowRank, random_direction_null
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
    # What is read of the base can differ between tuned ones: rows shared, orientation and cut known from their config.
    todo: dict[Any, list[_Entry]] = {}
    for index, pairing in enumerate(pairings):
        for one in pairing.pairs:
            todo.setdefault((one.base, one.rows), []).append((index, one))
    pieces = _loaded(list(todo.values()), options)
    if options.device != "cpu":  # there, reading and computing do not compete; here, it would cost a pair's memory
        pieces = _read_ahead(pieces)
    side: BaseSide | None = None
    of_all = 0
    for done, num_tuned, (index, one), W0, tuned in pieces:
        if num_tuned:  # a matrix that was not there before
            side, of_all = None, num_tuned
            if progress:
                progress(done, len(todo), one.name)
        rows, skipped = tables[index]
        update = Update(W0, tuned)
        if without := _set_aside(one, update, W0, tuned):
            skipped.append(without)
        else:
            side = side or method_for(options.method, W0, options.k, of_all)
            measures = update.measures(options.ranks)  # first, as it finds the directions on its way
            examined = side.examine(update.W, options.k, options.side, options.epsilons, update.directions())
            rows.append(_row(one, examined, options, update, measures))
    if progress:
        progress(len(todo), len(todo), "")
    return tables


def none_measurable(pairing: Pairing, options: Measuring) -> list[Skipped]:
    """Why, if every matrix of a checkpoint is unchanged or broken; empty if one is neither, known at the first."""
    skipped = list(pairing.skipped)
    for _, _, (_, one), W0, tuned in _loaded([[(0, one)] for one in pairing.pairs], options):
        if not (without := _set_aside(one, Update(W0, tuned), W0, tuned)):
            return []
        skipped.append(without)
    return skipped


_Piece = tuple[int, int, _Entry, Tensor, Tensor | LowRank]


def _loaded(todo: Sequence[Sequence[_Entry]], options: Measuring) -> Iterator[_Piece]:
    """One by one: number of the matrix, how many tuned it has (0 after the first), the entry, ``W0``, the tuned."""
    for done, entries in enumerate(todo):
        W0 = entries[0][1].read_base(dtype=options.dtype, device=options.device)
        for position, entry in enumerate(entries):
            yield done, 0 if position else len(entries), entry, W0, entry[1].read_tuned(W0)


def _read_ahead(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """The same, each read while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reader.submit(next, pieces, None)
            yield piece


def _set_aside(one: Pair, update: Update, W0: Tensor, tuned: Tensor | LowRank) -> Skipped | None:
    if reason := _broken(update, W0, tuned):
        return Skipped(one.name, reason, problem=True)
    return Skipped(one.name, UNCHANGED) if _unchanged(update, W0, tuned) else None


def _broken(update: Update, W0: Tensor, tuned: Tensor | LowRank) -> str:
    """Why a pair cannot be measured; empty where it can."""
    # A norm that is finite has seen every entry, at a fraction of the cost of looking at each.
    if math.isfinite(update.base_norm) and math.isfinite(update.norm):
        return ""
    sides = [("base", [W0]), ("tuned checkpoint", [tuned] if isinstance(tuned, Tensor) else [tuned.B, tuned.A])]
    for where, parts in sides:
        if count := sum(int((~torch.isfinite(part)).sum()) for part in parts):
            return f"the {where} holds {count} NaN or Inf values here"
    return "its values are so large that their squares overflow; compare with dtype float64"


def _unchanged(update: Update, W0: Tensor, tuned: Tensor | LowRank) -> bool:
    if isinstance(tuned, LowRank):
        return not float(update.directions().s[0])
    # Looking at one row first spares most tuned matrices a pass.
    return torch.equal(W0[:1], tuned[:1]) and torch.equal(W0, tuned)


def _row(
    one: Pair, examined: list[Examined], options: Measuring, update: Update, measures: dict[str, float]
) -> dict[str, Any]:
    _, layer, module = locate(one.name)
    epsilon, W0 = options.epsilons[0], update.W0
    spectral_norm = float(examined[0].base_singular_values[0])
    norm = update.norm
    row: dict[str, Any] = {"name": one.name, "layer": layer, "module": module, "rows": W0.shape[0], "cols": W0.shape[1]}
    for suffix, found in zip(("", "_right"), examined, strict=False):
        intruders = found.intruders(epsilon)
        energy = float((found.singular_values[intruders].double() ** 2).sum())
        null = random_direction_null(found.dimension, found.num_base_vectors)
        row |= {
            f"num_intruders{suffix}": len(intruders),
            f"intruders{suffix}": intruders,
            f"max_cosine{suffix}": found.max_cosine.tolist(),
            f"max_cosine_lower{suffix}": found.lower.tolist(),
            f"max_cosine_upper{suffix}": found.upper.tolist(),
            f"nearest{suffix}": found.nearest.tolist(),
            f"singular_values{suffix}": found.singular_values.tolist(),
            f"base_singular_values{suffix}": found.base_singular_values.tolist(),
            # Five digits: these are for a picture, and there are k² of them.
            f"cosines{suffix}": [[round(c, 5) for c in line] for line in found.cosines.tolist()],
            f"intruder_energy_share{suffix}": energy / norm**2 if energy else 0.0,
            f"intruder_delta_share{suffix}": energy / measures["delta_norm"] ** 2 if energy else 0.0,
            f"null_cosine{suffix}": null.quantile(0.5),
            f"null_cosine_q99{suffix}": null.quantile(0.99),
            f"null_intruder_rate{suffix}": null.prob_below(epsilon),
        }
    return row | {
        **measures,
        "spike_ratio": measures["delta_spectral_norm"] / spectral_norm if spectral_norm else float("nan"),
        "method": examined[0].method,
        "note": one.note,
    }
