"""`compare`: open, pair, measure, and put the tables together with where they came from."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
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
from .weights import Adapter, Checkpoint, Pairing, Skipped, locate, open_checkpoint, pair
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
        If the base, or every tuned one, cannot be opened or read, they do not belong together, or they are equal. Of
        several tuned ones, one like this is a result that has `failed`, with the reason.
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
    include, exclude = ((one,) if isinstance(one, str) else tuple(one) for one in (include, exclude))
    opened_base = open_checkpoint(base)
    all_tuned = [_opened(opened_base, source, include, exclude) for source in (tuned if many else [tuned])]
    if not all_tuned:
        raise PairingError("no tuned checkpoint to compare with the base; pass at least one")
    options = Measuring(k, epsilons, side, method, ranks, _DTYPES[dtype], device)
    _measure([one for one in all_tuned if one.failure is None], opened_base, options, progress)
    failures = [one.failure for one in all_tuned if one.failure is not None]
    if len(failures) == len(all_tuned):
        raise failures[0]
    shared = {
        "base": _origin(opened_base),
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
    results = [
        Comparison(
            _in_unicode(opened_base.label),
            one.label,
            k,
            epsilons[0],
            side,
            matrices_frame(_with_unique_modules(one.rows)),
            skipped_frame([asdict(entry) for entry in one.skipped]),
            shared | one.provenance(),
        )
        for one in all_tuned
    ]
    return results if many else results[0]


@dataclass
class _Tuned:
    """One tuned checkpoint on its way to a result."""

    label: str
    checkpoint: Checkpoint | Adapter | None = None
    pairing: Pairing | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failure: SpectraError | None = None  # why there is nothing to show of it

    def fail(self, failure: SpectraError) -> None:
        self.failure = failure
        self.skipped = self.skipped or [Skipped(self.label, str(failure), problem=True)]

    def provenance(self) -> dict[str, Any]:
        """Where it came from, and why it failed, if it did."""
        if self.failure is not None:
            return {"tuned": {"source": self.label}, "failed": str(self.failure)}
        assert self.checkpoint is not None  # as it did not fail
        assert self.pairing is not None
        base, tuned = self.pairing.dropped_prefixes
        return {
            "tuned": _origin(self.checkpoint),
            "dropped_prefixes": {"base": base, "tuned": tuned},
            "matched": len(self.pairing.pairs),
        }


def _opened(base: Checkpoint | Adapter, source: Any, include: Iterable[str], exclude: Iterable[str]) -> _Tuned:
    """Opened and paired with the base, or why not: one of many that cannot be read does not lose the others."""
    tuned = _Tuned(_in_unicode(str(source) if isinstance(source, (str, Path)) else type(source).__name__))
    try:
        tuned.checkpoint = open_checkpoint(source)
        tuned.label = _in_unicode(tuned.checkpoint.label)
        tuned.pairing = pair(base, tuned.checkpoint, include=include, exclude=exclude)
    except SpectraError as error:
        tuned.fail(error)
    return tuned


def _measure(
    several: Sequence[_Tuned], base: Checkpoint | Adapter, options: Measuring, progress: Progress | None
) -> None:
    """Fill in the rows of each; one by one where a file among them turns out to be damaged."""
    try:
        tables = measure([one.pairing for one in several if one.pairing is not None], options, progress)
    except SpectraError as error:
        if len(several) == 1:
            several[0].fail(error)
        else:
            for one in several:
                _measure([one], base, options, progress)
        return
    for one, (one.rows, one.skipped) in zip(several, tables, strict=True):
        if not one.rows and one.checkpoint is not None:
            one.fail(_nothing_to_show(base, one.checkpoint, one.skipped))


def _in_unicode(label: str) -> str:
    """A path whose bytes are no text, in a form that every file and terminal takes."""
    return label.encode("utf-8", "backslashreplace").decode()


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
        "source": _in_unicode(checkpoint.label),
        "kind": checkpoint.kind,
        "revision": checkpoint.revision,
        "files": [fingerprint(path) | {"path": _in_unicode(str(path))} for path in checkpoint.files],
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
