"""Interventions: scale intruder dimensions, beside controls that scale something else alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.linalg import vector_norm

from ..devices import check_device
from ..errors import CheckpointError, SpectraError
from ..trainer import Recipe, Run
from ..weights import Adapter, Checkpoint, Matrix, open_checkpoint, pair
from .forgetting import Reference, text_provenance
from .objectives import Losses
from .probing import TaskModel
from .study import Study, versions
from .targets import TARGETS, Target, targets


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
    task: str | None = None,
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
    task : str, optional
        Where to measure accuracy: all rows of a file, or those that a data set keeps for it. By default as `recipe`.
    recipe : Recipe, optional
        Whose labels, columns and task to measure with; by default that of `tuned` where it is a run directory.
    device : str
    progress : callable, optional
        Called with points done, points in all, and what is measured.

    Returns
    -------
    Study
        A row a point: ``target`` (intruder; the controls neighbour, random, shrunk), ``lambda``, ``accuracy`` with its
        binomial standard error (or the language model's ``perplexity``) on ``num_eval`` rows, ``forgetting`` with its
        standard error, ``percent_bought_back`` of the forgetting at λ = 1 (NaN where that is within two standard errors
        of none), ``percent_accuracy_lost`` of the accuracy there; ``forgetting_over_intruder``, how much more this
        point forgets than the intruders scaled by the same λ, with the standard error of that difference on the same
        sequences; ``update_scale``, the mean of ``‖ΔW(λ)‖_F / ‖ΔW‖_F``; ``num_matrices`` and ``num_vectors`` scaled (of
        ``shrunk``, no single vectors). A neighbour that is nowhere to be had is a row without measurements.

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
            if text is None and task is None:
                raise SpectraError(
                    f"{tuned}: nothing to measure, as it is no run directory of spectra train; "
                    "name a --text, or a --task"
                ) from error
    if task is not None:
        recipe = (recipe or Recipe(base=str(base), task=task)).replace(eval=task)
    opened = open_checkpoint(tuned)
    found = targets(base, tuned, which=which, k=k, epsilon=epsilon, device=device, seed=seed)
    meters = _meters(base, opened, text, recipe, objective, num_sequences, length, device)
    points = [(what, float(factor)) for what in TARGETS for factor in sorted({*lambdas} - {1.0})]
    rows: list[dict[str, Any]] = []
    untouched: dict[str, Any] = {}
    of_intruders: dict[float, Losses] = {}
    counts = {what: _counts(found, what) for what in TARGETS}
    for done, (what, factor) in enumerate([("intruder", 1.0), *points]):
        if progress:
            progress(done, len(points) + 1, f"{what}, λ = {factor:g}")
        if not counts[what]["num_matrices"]:  # as tuned, which would say that it was scaled to no effect
            rows.append({"target": what, "lambda": factor, **counts[what]})
            continue
        changed = {one.name: one.scaled(what, factor) for one in found}
        measured: dict[str, Any] = {"update_scale": _update_scale(found, changed)}
        for meter in meters:
            measured |= meter(changed)
        if losses := measured.pop("losses", None):
            theirs = of_intruders.setdefault(factor, losses)  # they come first
            measured["forgetting_over_intruder"] = losses.mean - theirs.mean
            measured["forgetting_over_intruder_standard_error"] = losses.standard_error(theirs)
        untouched = untouched or measured
        measured |= _relative(measured, untouched)
        for name in TARGETS if factor == 1.0 else (what,):  # the same point for all of them
            rows.append({"target": name, "lambda": factor, **measured, **counts[name]})
    table = pd.DataFrame(rows)
    table["target"] = pd.Categorical(table["target"], TARGETS)
    table = table.sort_values(["target", "lambda"], ignore_index=True).astype({"target": str})
    provenance = {"base": str(base), "tuned": str(tuned), "which": which, "k": k, "epsilon": epsilon, "seed": seed}
    provenance |= {"task": recipe.task if recipe else None, "eval": recipe.eval if recipe else None}
    provenance |= text_provenance(base, text, objective, num_sequences, length)
    return Study("intervention", table, {**provenance, "versions": versions()})


def _counts(found: Sequence[Target], what: str) -> dict[str, Any]:
    if what == "shrunk":
        return {"num_matrices": len(found), "num_vectors": math.nan}
    numbers = [one.num_vectors(what) for one in found]
    return {"num_matrices": sum(number > 0 for number in numbers), "num_vectors": sum(numbers)}


def _update_scale(found: Sequence[Target], changed: dict[str, Tensor]) -> float:
    sizes = [vector_norm(changed[one.name] - one.W0) / vector_norm(one.W - one.W0) for one in found]
    return float(torch.stack(sizes).mean())


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
            losses = reference.losses()
            row = reference.row(losses)
            return {
                "forgetting": row["rise"],
                "forgetting_standard_error": row["rise_standard_error"],
                "losses": losses,
            }

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
