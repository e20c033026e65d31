"""Interventions: scale intruder dimensions, beside controls that scale something else alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..comparing import compare
from ..devices import check_device
from ..errors import CheckpointError, SpectraError
from ..linalg import LowRank, leading, num_leading, svd
from ..trainer import Recipe, Run
from ..weights import Adapter, Checkpoint, Matrix, open_checkpoint, pair
from .forgetting import Reference
from .probing import TaskModel
from .study import Study, versions

TARGETS = ("intruder", "neighbour", "random", "shrunk")
WHICH = ("top", "all")
_ANGLE = 1e-4  # of the vectors that are scaled; what is left of one scaled away is as small


@dataclass(frozen=True)
class Target:
    """The intruders to scale in one matrix, and their controls.

    Attributes
    ----------
    name : str
    W0, W : Tensor, shape (m, n)
    intruder, neighbour, random : LowRank, shape (m, n)
        ``Σ s_i u_i v_iᵀ`` over the intruders; over as many non-intruders, the nearest in rank, as far as there are
        any; over random unit vectors with the same ``s_i``.
    """

    name: str
    W0: Tensor
    W: Tensor
    intruder: LowRank
    neighbour: LowRank | None
    random: LowRank

    def scaled(self, what: str, factor: float) -> Tensor:
        """``W(λ) = W0 + ΔW + (λ−1) Σ s_i u_i v_iᵀ`` for `what` of TARGETS, ``λ = factor``, shape (m, n).

        ``"shrunk"`` is ``W0 + c ΔW`` with ``c`` such that ``‖c ΔW‖_F`` is that of ``ΔW(λ)`` for the intruders.
        A matrix without a non-intruder among its leading vectors has no neighbour, and stays as it is.
        """
        if factor == 1.0:
            return self.W
        if what == "shrunk":
            delta = self.W - self.W0
            wanted: Tensor = torch.linalg.vector_norm(delta + (factor - 1) * self.intruder.dense())
            shrunk: Tensor = self.W0 + delta * (wanted / torch.linalg.vector_norm(delta))
            return shrunk
        part: LowRank | None = getattr(self, what)
        return self.W if part is None else self.W + (factor - 1) * part.dense()


def targets(
    base: Any, tuned: Any, *, which: str = "top", k: int = 10, epsilon: float = 0.5, device: str = "cpu", seed: int = 0
) -> list[Target]:
    """What an intervention scales, one entry a matrix that has intruders.

    Parameters
    ----------
    base, tuned
        Every form that `spectra.compare` takes.
    which : {"top", "all"}
        The highest-ranked intruder of each matrix (arXiv 2410.21228), or all among its `k` leading vectors.
    k, epsilon, device
        Of `spectra.compare`.
    seed : int
        Of the random control.

    Raises
    ------
    SpectraError
        If there are no intruders.
    """
    if which not in WHICH:
        raise ValueError(f"which must be one of {', '.join(WHICH)}, got {which!r}")
    opened_base, opened = open_checkpoint(base), open_checkpoint(tuned)
    result = compare(opened_base, opened, k=k, epsilon=epsilon, device=device)
    if not result.num_intruders:
        raise SpectraError(
            f"{opened.label}: no intruder dimensions at epsilon {epsilon:g} among the {k} leading vectors of each "
            "matrix, so there is nothing to scale; raise --epsilon"
        )
    hit = result.matrices[result.matrices["num_intruders"] > 0].set_index("name")["intruders"]
    generator = torch.Generator().manual_seed(seed)
    found = []
    for one in pair(opened_base, opened, include=("",)).pairs:
        if one.name in hit:
            W0 = one.read_base(dtype=torch.float32, device=device)
            tuned_part = one.read_tuned(W0)
            W = W0 + tuned_part.dense() if isinstance(tuned_part, LowRank) else tuned_part
            chosen = hit[one.name][:1] if which == "top" else hit[one.name]
            found.append(_target(one.name, W0, W, chosen, set(hit[one.name]), k, generator))
    return found


def _target(
    name: str, W0: Tensor, W: Tensor, chosen: list[int], intruders: set[int], k: int, generator: torch.Generator
) -> Target:
    U, s, Vh = _triplets(W, k)

    def part(indices: list[int]) -> LowRank:
        return LowRank(U[:, indices] * s[indices], Vh[indices])

    free = [j for j in range(len(s)) if j not in intruders]
    beside: list[int] = []
    for i in chosen:
        free.sort(key=lambda j, i=i: (abs(j - i), -j))  # type: ignore[misc]
        beside += free[:1]
        free = free[1:]
    directions = [
        torch.nn.functional.normalize(torch.randn(size, len(chosen), generator=generator), dim=0).to(W)
        for size in W.shape
    ]
    random = LowRank(directions[0] * s[chosen], directions[1].mT)
    return Target(name, W0, W, part(chosen), part(beside) if beside else None, random)


def _triplets(W: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    k = min(k, *W.shape)
    found = leading(W, k, angle=_ANGLE) if k <= num_leading(*W.shape) else None
    whole = found or svd(W)
    return whole.U[:, :k], whole.s[:k].to(W), whole.Vh[:k]


def intervene(
    base: str | Path,
    tuned: str | Path,
    lambdas: Sequence[float] = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0),
    *,
    which: str = "top",
    k: int = 10,
    epsilon: float = 0.5,
    text: str | Path | None = None,
    objective: str = "auto",
    num_sequences: int = 128,
    length: int = 128,
    recipe: Recipe | None = None,
    device: str = "cpu",
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Scale the intruders of a tuned model, and the controls, and measure accuracy and forgetting at each point.

    Parameters
    ----------
    base, tuned : str or Path
        A transformers directory or hub id; a checkpoint or adapter of it.
    lambdas : sequence of float
        1 changes nothing, 0 removes, above 1 strengthens; 1 is always measured.
    which, k, epsilon, seed
        Of `targets`.
    text, objective, num_sequences, length
        Of `spectra.forgetting`; without `text` it is not measured.
    recipe : Recipe, optional
        Whose task and head to measure accuracy on; by default that of `tuned` where it is a run directory.
    device : str
    progress : callable, optional
        Called with points done, points in all, and what is measured.

    Returns
    -------
    Study
        A row a point: ``target`` (intruder; the controls neighbour, random, shrunk), ``lambda``, ``accuracy`` (or the
        language model's ``perplexity``), ``forgetting`` with its standard error, ``percent_bought_back`` of the
        forgetting at λ = 1 (NaN where that is within two standard errors of none), ``percent_accuracy_lost`` of the
        accuracy there, ``num_matrices`` and ``num_vectors`` scaled.

    Raises
    ------
    SpectraError
        If there are no intruders, or neither a text nor a task to measure on.
    """
    if not all(math.isfinite(factor) for factor in lambdas):
        raise ValueError(f"lambdas must be finite numbers, got {list(lambdas)}")
    check_device(device)
    if recipe is None:
        try:
            recipe = Run.open(tuned).recipe
        except SpectraError as error:
            if text is None:
                raise SpectraError(
                    f"{tuned}: nothing to measure, as it is no run directory of spectra train; "
                    "name a --text, or a --task"
                ) from error
    opened = open_checkpoint(tuned)
    found = targets(base, tuned, which=which, k=k, epsilon=epsilon, device=device, seed=seed)
    meters = _meters(base, opened, text, recipe, objective, num_sequences, length, device)
    points = [(what, float(factor)) for what in TARGETS for factor in sorted({*lambdas} - {1.0})]
    rows: list[dict[str, Any]] = []
    untouched: dict[str, Any] = {}
    for done, (what, factor) in enumerate([("intruder", 1.0), *points]):
        if progress:
            progress(done, len(points) + 1, f"{what}, λ = {factor:g}")
        changed = {one.name: one.scaled(what, factor) for one in found}
        measured: dict[str, Any] = {}
        for meter in meters:
            measured |= meter(changed)
        untouched = untouched or measured
        measured |= _relative(measured, untouched)
        for name in TARGETS if factor == 1.0 else (what,):  # the same point for all of them
            rows.append({"target": name, "lambda": factor, **measured})
    scaled = sum(one.intruder.B.shape[1] for one in found)
    table = pd.DataFrame(rows).assign(num_matrices=len(found), num_vectors=scaled)
    table["target"] = pd.Categorical(table["target"], TARGETS)
    table = table.sort_values(["target", "lambda"], ignore_index=True).astype({"target": str})
    provenance = {"base": str(base), "tuned": str(tuned), "which": which, "k": k, "epsilon": epsilon, "seed": seed}
    provenance |= {"task": recipe.task if recipe else None, "text": str(text) if text else None}
    return Study("intervention", table, {**provenance, "versions": versions()})


_Meter = Callable[[dict[str, Tensor]], dict[str, Any]]


def _meters(
    base: str | Path,
    tuned: Checkpoint | Adapter,
    text: str | Path | None,
    recipe: Recipe | None,
    objective: str,
    num_sequences: int,
    length: int,
    device: str,
) -> list[_Meter]:
    """Functions from changed matrices to measurements of the whole model with them."""
    found: list[_Meter] = []
    if recipe is not None:
        classifier = TaskModel(base, recipe, tuned, device=device)
        put = _Putting(classifier.model, base)

        def on_task(changed: dict[str, Tensor]) -> dict[str, Any]:
            put(changed)
            return {f"task_{name}" if name == "loss" else name: value for name, value in classifier.measure().items()}

        found.append(on_task)
    if text is not None:
        reference = Reference(
            base, text, objective=objective, num_sequences=num_sequences, length=length, device=device
        )
        reference.measure(tuned)  # puts the tuned weights in place
        put_in_reference = _Putting(reference.model, base)

        def on_text(changed: dict[str, Tensor]) -> dict[str, Any]:
            put_in_reference(changed)
            row = reference.row(reference.losses())
            return {"forgetting": row["rise"], "forgetting_standard_error": row["rise_standard_error"]}

        found.append(on_text)
    return found


class _Putting:
    """Writes matrices, by their names in the base, into a live model of it."""

    def __init__(self, model: Any, base: Any) -> None:
        # The model's own tensors are what is written to; the names are those of `targets`.
        self.places = {
            one.name: one.tuned for one in pair(open_checkpoint(base), open_checkpoint(model), include=("",)).pairs
        }

    def __call__(self, changed: dict[str, Tensor]) -> None:
        for name, W in changed.items():
            place = self.places.get(name)
            if not isinstance(place, Matrix):
                raise CheckpointError(
                    f"{name}: the model to measure has no such matrix; leave it out of the comparison"
                )
            place.write(W)


def _relative(measured: dict[str, Any], untouched: dict[str, Any]) -> dict[str, float]:
    found = {}
    if "forgetting" in measured:
        # A share of next to nothing is noise.
        known = untouched["forgetting"] > 2 * untouched["forgetting_standard_error"]
        back = 100 * (1 - measured["forgetting"] / untouched["forgetting"]) if known else math.nan
        found["percent_bought_back"] = back
    if "accuracy" in measured and untouched["accuracy"]:
        found["percent_accuracy_lost"] = 100 * (1 - measured["accuracy"] / untouched["accuracy"])
    return found
