"""`compare`: open, pair, measure, and put the tables together with where they came from."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict, overload

import numpy as np
import torch

from ._version import __version__
from .comparison import Comparison
from .devices import check_device
from .errors import CheckpointError, PairingError, SpectraError
from .files import fingerprint
from .frames import matrices_frame, skipped_frame
from .intruders import check_options
from .measuring import Measuring, Progress, measure, none_measurable
from .weights import Adapter, Checkpoint, Skipped, locate, open_checkpoint, pair
from .weights.pairs import UNCHANGED

if TYPE_CHECKING:
    from typing_extensions import Unpack

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
    check_device(device)
    started = time.perf_counter()
    many = isinstance(tuned, (list, tuple))
    opened_base = open_checkpoint(base)
    others = [open_checkpoint(one) for one in (tuned if many else [tuned])]
    if not others:
        raise PairingError("no tuned checkpoint to compare with the base; pass at least one")
    include, exclude = ((one,) if isinstance(one, str) else tuple(one) for one in (include, exclude))
    pairings = [pair(opened_base, other, include=include, exclude=exclude) for other in others]
    options = Measuring(k, epsilons, side, method, ranks, _DTYPES[dtype], device)
    for other, pairing in zip(others, pairings, strict=True) if many else ():  # before the work on the rest, not after
        if skipped := none_measurable(pairing, options):
            raise _nothing_to_show(opened_base, other, skipped)
    tables = measure(pairings, options, progress)
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


def differs(base: Any, tuned: Any) -> bool:
    """Whether anything that `compare` looks at is not the same in both, known at the first matrix that is not."""
    options = Measuring(1, (0.5,), "left", "auto", "exact", torch.float32, "cpu")
    found = none_measurable(pair(open_checkpoint(base), open_checkpoint(tuned), include=(), exclude=()), options)
    return not found or any(entry.problem for entry in found)


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
