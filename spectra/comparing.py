"""`compare`: go through the pairs of two or more checkpoints, one matrix in memory at a time."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypedDict, overload

import numpy as np
import torch
from torch import Tensor

from ._version import __version__
from .comparison import Comparison, matrices_frame, skipped_frame
from .errors import CheckpointError, PairingError, SpectraError
from .examined import BaseSide, Examined
from .files import fingerprint
from .intruders import check_options, method_for
from .linalg import LowRank, random_direction_null
from .update import Update
from .weights import Adapter, Checkpoint, Pair, Pairing, Skipped, locate, open_checkpoint, pair
from .weights.pairs import UNCHANGED

if TYPE_CHECKING:
    from typing_extensions import Unpack

Progress = Callable[[int, int, str], None]
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class _Options(TypedDict, total=False):
    """The keywords of `compare`, for type checkers."""

    k: int
    epsilon: float | Sequence[float]
    side: str
    method: str
    ranks: str
    include: Iterable[str]
    exclude: Iterable[str]
    device: str
    dtype: str
    progress: Progress | None


@overload
def compare(base: Any, tuned: list[Any] | tuple[Any, ...], **options: Unpack[_Options]) -> list[Comparison]: ...
@overload
def compare(base: Any, tuned: Any, **options: Unpack[_Options]) -> Comparison: ...


def compare(
    base: Any,
    tuned: Any,
    *,
    k: int = 10,
    epsilon: float | Sequence[float] = 0.5,
    side: str = "left",
    method: str = "auto",
    ranks: str = "exact",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    device: str = "cpu",
    dtype: str = "float32",
    progress: Progress | None = None,
) -> Comparison | list[Comparison]:
    """Compare a tuned checkpoint, or several, with the base they were tuned from.

    Whatever belongs to the base is computed once for all of `tuned`; one matrix is in memory at a time.

    Parameters
    ----------
    base, tuned : str, Path, Mapping, torch.nn.Module or an opened checkpoint
        Every form that `spectra.open_checkpoint` takes; a list or tuple of tuned ones gives a list.
    k : int
        How many leading singular vectors of each tuned matrix to examine.
    epsilon : float or sequence of float
        Vectors whose best absolute cosine with the base is below this are intruders. The counts are certain at each of
        several; the first is the result's own.
    side : {"left", "right", "both"}
    method : {"auto", "exact", "certified"}
        See `examine`. Every method gives the same verdicts; the exact one also every cosine.
    ranks : {"exact", "estimated"}
        The effective rank of a full-rank update from all its singular values, or estimated with its standard error.
    include, exclude : str or iterable of str
        Regular expressions on matrix names; without `include`, all but embeddings and heads.
    device : str
        Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …
    dtype : {"float32", "float64"}
        Precision of the computation, whatever the files hold.
    progress : callable, optional
        Called with matrices done, matrices in all, and the name of the current one.

    Raises
    ------
    CheckpointError, PairingError
        If a side cannot be opened, the two do not belong together, or they are equal.
    SpectraError
        If the device is not there.
    ValueError
        If an option is none of the above.

    Examples
    --------
    >>> W0 = torch.eye(4); W = W0.clone(); W[:, 0] += torch.tensor([0.0, 0, 0, 5])
    >>> compare({"layers.0.q.weight": W0}, {"layers.0.q.weight": W}, k=2).num_matrices
    1
    """
    epsilons = check_options(k=k, epsilon=epsilon, side=side, method=method, ranks=ranks)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}")
    _check_device(device)
    started = time.perf_counter()
    many = isinstance(tuned, (list, tuple))
    opened_base = open_checkpoint(base)
    others = [open_checkpoint(one) for one in (tuned if many else [tuned])]
    if not others:
        raise PairingError("no tuned checkpoint to compare with the base; pass at least one")
    include, exclude = ((one,) if isinstance(one, str) else tuple(one) for one in (include, exclude))
    pairings = [pair(opened_base, other, include=include, exclude=exclude) for other in others]
    options = _Measuring(k, epsilons, side, method, ranks, _DTYPES[dtype], device)
    tables = _measure(pairings, options, progress)
    base_origin = _origin(opened_base)
    results = []
    for other, pairing, (rows, skipped) in zip(others, pairings, tables, strict=True):
        if not rows:
            raise _nothing_to_show(opened_base, other, skipped)
        provenance = {
            "base": base_origin,
            "tuned": _origin(other),
            "dropped_prefixes": {"base": pairing.dropped_prefixes[0], "tuned": pairing.dropped_prefixes[1]},
            "matched": len(pairing.pairs),
            "k": k,
            "epsilons": list(epsilons),
            "side": side,
            "method": method,
            "ranks": ranks,
            "include": list(include),
            "exclude": list(exclude),
            "dtype": dtype,
            "device": device,
            "versions": {
                "spectra": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "seconds": round(time.perf_counter() - started, 3),
        }
        results.append(
            Comparison(
                opened_base.label,
                other.label,
                k,
                epsilons[0],
                side,
                matrices_frame(_with_unique_modules(rows)),
                skipped_frame([asdict(entry) for entry in skipped]),
                provenance,
            )
        )
    return results if many else results[0]


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        reason = str(error).split("\n")[0].rstrip(".")
        raise SpectraError(f"device {device!r} cannot be used here ({reason}); try cpu") from error


@dataclass(frozen=True)
class _Measuring:
    """What `compare` was asked for, beyond the checkpoints."""

    k: int
    epsilons: tuple[float, ...]
    side: str
    method: str
    ranks: str
    dtype: torch.dtype
    device: str


_Entry = tuple[int, Pair]


def _measure(
    pairings: Sequence[Pairing], options: _Measuring, progress: Progress | None
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
        if reason := _broken(update, W0, tuned):
            skipped.append(Skipped(one.name, reason, problem=True))
        elif _unchanged(update, W0, tuned):
            skipped.append(Skipped(one.name, UNCHANGED))
        else:
            side = side or method_for(options.method, W0, options.k, of_all)
            examined = side.examine(update.W, options.k, options.side, options.epsilons, update.directions())
            rows.append(_row(one, examined, options, update))
    if progress:
        progress(len(todo), len(todo), "")
    return tables


_Piece = tuple[int, int, _Entry, Tensor, Tensor | LowRank]


def _loaded(todo: Sequence[Sequence[_Entry]], options: _Measuring) -> Iterator[_Piece]:
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


def _broken(update: Update, W0: Tensor, tuned: Tensor | LowRank) -> str:
    """Why a pair cannot be measured; empty where it can."""
    # A norm that is finite has seen every entry, at a fraction of the cost of looking at each.
    if math.isfinite(update.base_norm) and math.isfinite(update.norm()):
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


def _row(one: Pair, examined: list[Examined], options: _Measuring, update: Update) -> dict[str, Any]:
    _, layer, module = locate(one.name)
    epsilon, W0 = options.epsilons[0], update.W0
    spectral_norm = float(examined[0].base_singular_values[0])
    norm, measures = update.norm(), update.measures(options.ranks)
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


def _with_unique_modules(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where a model has several stacks (encoder and decoder), a module's label says which one it is in."""
    stacks = {locate(row["name"])[0] for row in rows if row["layer"] is not None}
    if len(stacks) > 1:
        return [row | {"module": f"{locate(row['name'])[0]}.{row['module']}".lstrip(".")} for row in rows]
    return rows


def _origin(checkpoint: Checkpoint | Adapter) -> dict[str, Any]:
    return {
        "source": checkpoint.label,
        "kind": checkpoint.kind,
        "revision": checkpoint.revision,
        "files": [fingerprint(path) for path in checkpoint.files],
    }


def _nothing_to_show(base: Checkpoint | Adapter, tuned: Checkpoint | Adapter, skipped: list[Skipped]) -> SpectraError:
    if problem := next((entry for entry in skipped if entry.problem), None):
        return CheckpointError(
            f"{tuned.label}: nothing can be compared with {base.label}, as {problem.name}: {problem.reason}"
        )
    same = sum(entry.reason == UNCHANGED for entry in skipped)
    return PairingError(
        f"{base.label} and {tuned.label}: all {same} matrices are equal, nothing was tuned; "
        "check that the second is the tuned one"
    )
