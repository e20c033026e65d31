"""Sweeps: train a grid of recipes, compare each with the base, measure forgetting, one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparing import compare
from ..devices import check_device
from ..errors import RecipeError, ResultError, SpectraError
from ..files import claimed, make_folder, remove_leftovers, whole_files
from ..intruders import check_options
from ..trainer import Recipe, Run, train
from ..trainer.run import clear, find_finished, held, input_digests
from ..weights import open_checkpoint
from .columns import (
    comparison_columns,
    existing_columns,
    problem,
    recipe_columns,
    training_columns,
    vector_columns,
    whole,
)
from .forgetting import Reference, text_provenance
from .grid import recipes
from .study import Study, versions

RUNS, VECTORS = "runs.parquet", "vectors.parquet"
Progress = Callable[[int, int, str], None]


def sweep(
    fields: Mapping[str, Any],
    path: str | Path,
    *,
    k: int = 10,
    epsilon: float | Sequence[float] = (0.5, 0.8),
    method_of_comparison: str = "auto",
    text: str | Path | None = None,
    objective: str = "auto",
    num_sequences: int = 128,
    length: int = 128,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Study:
    """Train every recipe of a grid on one base, and measure intruders, accuracy and forgetting of each.

    What is finished in `path` is neither trained nor measured again, unless its base, its task or the text has changed
    since; a run that was cut off goes on. A run that fails is recorded with its reason, and tried again the next time.
    A run that another process is working on is waited for, and taken as finished.

    Parameters
    ----------
    fields : Mapping
        Recipe fields, values or lists of values; see `spectra.studies.grid.recipes`.
    path : str or Path
        The folder: ``runs.parquet`` (a row a run of the grid last asked for), ``vectors.parquet`` (a row an examined
        singular vector), ``runs/`` (the checkpoints), ``measured/``; grids may share it.
    k, epsilon, method_of_comparison, device
        Of `spectra.compare`. A column ``num_intruders_<epsilon>`` for each epsilon.
    text, objective, num_sequences, length
        Of `spectra.forgetting`; without `text` it is not measured.
    progress : callable, optional
        Called with hundredths of runs done and in all, and what is going on, with an estimate of the time left.

    Returns
    -------
    Study
        A row a run: the recipe's fields, ``status`` and ``reason``, ``accuracy`` with its binomial standard error (or
        ``perplexity``), the counts, ``num_at_chance`` (vectors whose best cosine is below the 99% point of a random
        direction's; NaN where the bounds of the certified method do not decide it), means of rank and size of the
        update over the matrices, ``forgetting`` with its standard error, seconds of training.

    Raises
    ------
    SpectraError
        If the grid, the folder or the text cannot be used at all.
    """
    check_options(k=k, epsilon=epsilon, side="left", method=method_of_comparison)
    check_device(device)
    path = Path(path)
    grid = recipes(fields)
    if len({recipe.base for recipe in grid.values()}) != 1:
        raise RecipeError("a sweep has one base; make one sweep a base")
    base = next(iter(grid.values())).base
    comparing: dict[str, Any] = {"k": k, "epsilon": epsilon_list(epsilon), "method": method_of_comparison}
    on_text: dict[str, Any] = {"objective": objective, "num_sequences": num_sequences, "length": length}
    of_text = text_provenance(base, text, **on_text)
    options = {**comparing, **on_text, "text": of_text["text"]}
    # By content: a base or a file that was changed since is another one.
    asked = {name: {**options, "inputs": input_digests(recipe)} for name, recipe in grid.items()}
    known = {name: _known(path, name, asked[name]) for name in grid}
    reference = None
    if text is not None and None in known.values():
        if progress:
            progress(0, 100 * len(grid), "the base's loss")
        reference = Reference(base, text, device=device, **on_text)
    for folder in ("runs", "measured"):  # only now, so that nothing is left of what could not begin
        make_folder(path / folder)
    for place in (path, path / "measured"):
        remove_leftovers(place)
    rows, frames = [], []
    timer = _Remaining(sum(one is None for one in known.values()))
    for number, (name, recipe) in enumerate(grid.items()):

        def report(done: int, total: int, words: str, number: int = number, name: str = name) -> None:
            if progress:
                said = ", ".join(filter(None, (words, timer.words(done / total))))
                where = f"run {number + 1} of {len(grid)}, {name}" + (f": {said}" if said else "")
                progress(100 * number + 100 * done // total, 100 * len(grid), where)

        found = known[name]
        if found is None:
            run_folder = path / "runs" / name
            try:
                with claimed(path / "measured", name, run_folder, waiting=partial(report, 0, 1)):
                    found = _known(path, name, asked[name])  # another process may have done it meanwhile
                    if found is None:
                        run = _trained(recipe, run_folder, report)
                        report(1, 1, "measuring")
                        result = whole(compare(base, run.path, device=device, **comparing))
                        row = training_columns(run) | comparison_columns(result)
                        if reference is not None:
                            lost = reference.measure(open_checkpoint(run.path))
                            row["forgetting"] = lost["rise"]
                            row["forgetting_standard_error"] = lost["rise_standard_error"]
                        found = row, vector_columns(result)
                        _remember(path, name, asked[name], *found)
            except Exception as error:  # whatever it is, the other runs go on, and the table says so
                reason = " ".join(str(error).split()) or type(error).__name__
                rows.append({"run": name, "status": "failed", "reason": reason, **recipe_columns(recipe)})
                continue
            finally:
                timer.done += 1
        rows.append({"run": name, "status": "done", "reason": "", **recipe_columns(recipe), **found[0]})
        frames.append(found[1].assign(run=name))
    provenance = {"base": base, "tasks": sorted({recipe.task for recipe in grid.values()}), **comparing}
    provenance |= of_text
    if not frames:
        for folder in ("runs", "measured"):
            with suppress(OSError):  # what failed in training may have left something to look into
                (path / folder).rmdir()
        raise SpectraError(f"{path}: none of {len(rows)} runs succeeded; the first: {rows[0]['reason']}")
    return _finished(rows, frames, provenance, path)


def sweep_existing(
    base: Any,
    tuned: Any,
    path: str | Path | None = None,
    *,
    k: int = 10,
    epsilon: float | Sequence[float] = (0.5, 0.8),
    method_of_comparison: str = "auto",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Study:
    """The spectral part of a sweep for checkpoints that were trained elsewhere.

    `tuned` is one or a list, in every form that `spectra.compare` takes. Method, rank and α are taken from a run
    directory or an adapter's config where there is one. Other parameters, columns and what is written to `path` are
    those of `sweep`.
    """
    tuned = list(tuned) if isinstance(tuned, (list, tuple)) else [tuned]
    check_options(k=k, epsilon=epsilon, side="left", method=method_of_comparison)
    check_device(device)
    options: dict[str, Any] = {"k": k, "epsilon": epsilon_list(epsilon), "method": method_of_comparison}
    rows, frames = [], []
    results = compare(base, tuned, device=device, progress=progress, **options)
    names: list[str] = []
    for one, result in zip(tuned, results, strict=True):
        place = str(one) if isinstance(one, (str, Path)) else ""
        known = existing_columns(Path(place) if place else None)
        name = place or result.tuned
        names.append(name)
        if (before := names.count(name)) > 1:
            name = f"{name} ({before})"
        if reason := problem(result):
            rows.append({"run": name, "status": "failed", "reason": reason, **known})
            continue
        rows.append({"run": name, "status": "done", "reason": "", **known, **comparison_columns(result)})
        frames.append(vector_columns(result).assign(run=name))
    return _finished(rows, frames, {"base": str(base), **options}, Path(path) if path else None)


class _Remaining:
    """How long the rest will take, from the runs done so far in this session."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.monotonic()

    def words(self, share: float) -> str:
        """`share` of the current run is done."""
        done = self.done + share
        if done < 0.1:
            return ""
        minutes = (time.monotonic() - self.started) / done * (self.total - done) / 60
        return f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"


def epsilon_list(epsilon: float | Sequence[float]) -> list[float]:
    """One or several, as a list."""
    return [float(epsilon)] if isinstance(epsilon, (int, float)) else list(map(float, epsilon))


def _measured(path: Path, name: str) -> Path:
    return path / "measured" / f"{name}.parquet"


def _known(path: Path, name: str, options: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """What a run measured before, with the same options."""
    try:
        kept = Study.read(_measured(path, name))
        return (kept.provenance["row"], kept.table) if kept.provenance["options"] == options else None
    except (ResultError, KeyError):
        return None  # not yet, or damaged


def _remember(path: Path, name: str, options: dict[str, Any], row: dict[str, Any], vectors: pd.DataFrame) -> None:
    """Keep that, in one file."""
    Study("vectors", vectors, {"options": options, "row": row}).write(_measured(path, name))


def _trained(recipe: Recipe, path: Path, progress: Progress) -> Run:
    try:
        find_finished(path, recipe)
    except RecipeError:  # damaged, or of other inputs: from the start
        with held(path, wait=True, waiting=partial(progress, 0, 1)):
            clear(path)
    return train(recipe, path, progress=progress, wait=True)


def _finished(rows: list[dict[str, Any]], frames: list[pd.DataFrame], provenance: Any, path: Path | None) -> Study:
    table = pd.DataFrame(rows)
    for column in table:
        if all(cell is None or isinstance(cell, (int, float)) for cell in table[column]):
            table[column] = pd.to_numeric(table[column])
    study = Study("sweep", table, {**provenance, "versions": versions()})
    if path is not None:
        vectors = pd.concat(frames, ignore_index=True)
        # Another grid's tables are not mixed with these.
        with claimed(path, "tables", path), whole_files(path) as place:
            vectors[["run", *vectors.columns.drop("run")]].to_parquet(place / VECTORS, index=False)
            study.write(place / RUNS)
    return study
