"""A run directory: the checkpoint, the recipe it was made from, what it measured, the log."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..files import empty, fingerprint, is_leftover, noted, remove_leftovers, whole_file
from ..locks import locked
from ..text_files import read_json_lines, read_json_object
from .recipe import Recipe
from .tasks import READERS

RECIPE, METRICS, LOG, INPUTS = "recipe.yaml", "metrics.json", "log.jsonl", "inputs.json"
PARTIAL, KEPT, _LOCK = "partial", "checkpoints", "lock"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path : Path
        The directory; itself a transformers or PEFT directory, so that `compare` opens it.
    recipe : Recipe
    metrics : dict
        ``accuracy`` (classification) or ``perplexity``, ``loss`` (nats a token or an example), ``train_loss``,
        ``steps``, ``seconds``, ``num_trainable`` parameters, ``num_train`` and ``num_eval`` rows, ``versions``;
        ``inputs``, the SHA-256 of the base and of the task's files; ``checkpoints``, the step, accuracy and loss of
        each that was kept along the way.
    """

    path: Path
    recipe: Recipe
    metrics: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read a finished run.

        Raises
        ------
        RecipeError
            If there is none, or it was cut off before the end.
        """
        path = Path(path)
        if not (path / METRICS).is_file():
            raise RecipeError(
                f"{path}: not a finished run (no {METRICS}); train it, or let it go on, with spectra train"
            )
        metrics = read_json_object(path / METRICS, error=RecipeError)
        if not _are_metrics(metrics):
            raise RecipeError(f"{path / METRICS}: damaged; remove it, and spectra train makes the run again")
        return cls(path, Recipe.load(path / RECIPE), metrics)

    @property
    def checkpoints(self) -> list[Path]:
        """The directories that `Recipe.checkpoints` asked for, in the order of their steps."""
        return [self.path / KEPT / f"{entry['step']:07}" for entry in self.metrics.get("checkpoints", [])]

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the Trainer logged: step, loss, learning rate, gradient norm."""
        return read_json_lines(self.path / LOG, error=RecipeError)


def _are_metrics(found: dict[str, Any]) -> bool:
    """Whether they have what every finished run has noted."""
    numbers = all(isinstance(found.get(name), (int, float)) for name in ("loss", "steps", "seconds", "num_eval"))
    steps = [entry.get("step") if isinstance(entry, dict) else None for entry in found.get("checkpoints", [])]
    return numbers and all(isinstance(step, int) for step in steps) and isinstance(found.get("inputs", {}), dict)


@contextmanager
def held(path: Path, *, wait: bool = False, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a run directory, which no other process works in until the block ends.

    Where nothing was begun in the block, nothing is left of it. Parameters and errors are those of `locks.locked`.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        with locked(path / PARTIAL / _LOCK, path, wait=wait, waiting=waiting):
            for folder in (path, path / KEPT):
                remove_leftovers(folder)
            yield
    finally:
        for folder in (path, *made):
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def find_finished(path: Path, recipe: Recipe) -> Run | None:
    """The run in a directory if it is finished, None if it can begin or go on; nothing is changed.

    A base or task on this machine is known by its content, wherever it lies.

    Raises
    ------
    RecipeError
        If the directory holds something else, or a run of another recipe or on a base or data that has changed since.
    """
    if path.exists() and not path.is_dir():
        raise RecipeError(f"{path}: a file is in the place of the run directory; choose another")
    if not (path / RECIPE).is_file():
        if path.is_dir() and not all(map(_is_ours, path.iterdir())):
            raise RecipeError(f"{path}: not empty and not a run; choose another directory")
        return None
    kept = Recipe.load(path / RECIPE)
    done = Run.open(path) if (path / METRICS).is_file() else None
    inputs = done.metrics.get("inputs") if done else noted(path / PARTIAL / INPUTS)
    before, after, now = kept.to_dict(), recipe.to_dict(), input_digests(recipe)
    content = {name: (digest, now[name]) for name, digest in (inputs or {}).items() if digest and now.get(name)}
    pairs = {name: content.get(name, (before[name], after[name])) for name in after}
    other = [name for name, (then, here) in pairs.items() if then != here]
    if changed := [str(after[name]) for name in other if before[name] == after[name]]:
        raise RecipeError(f"{path}: {changed[0]} has changed since this run; choose another directory or remove it")
    if other:
        raise RecipeError(f"{path}: holds a run with another {', '.join(other)}; choose another directory or remove it")
    return done


def _is_ours(path: Path) -> bool:
    """Whether a run that was cut off before it had a recipe made this."""
    if path.name == PARTIAL and path.is_dir():
        return (path / _LOCK).exists() or not any(path.iterdir())
    return is_leftover(path)


def input_digests(recipe: Recipe) -> dict[str, str | None]:
    """SHA-256 of the base and of the task that a recipe names, over their files; None of what is not local."""
    model, data = (".safetensors", ".bin", ".json", ".txt", ".model"), (*READERS, ".arrow")
    found = {"base": _digest(recipe.base, "*", model)}  # with its tokenizer
    return found | {name: _digest(getattr(recipe, name), "**/*", data) for name in ("task", "eval")}


def by_content(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe, with the digest of its base and task where they are local: moved, they are the same."""
    return recipe.to_dict() | {name: digest for name, digest in input_digests(recipe).items() if digest}


def _digest(source: str | None, pattern: str, suffixes: tuple[str, ...]) -> str | None:
    """Of a file, or of those in a folder that are read."""
    path = Path(source or os.devnull).expanduser()
    inside = sorted(file for file in path.glob(pattern) if file.suffix in suffixes) if path.is_dir() else [path]
    files = [f"{file.relative_to(path)} {fingerprint(file)['sha256']}" for file in inside if file.is_file()]
    return hashlib.sha256("\n".join(files).encode()).hexdigest() if files else None


def begin(path: Path, recipe: Recipe, inputs: dict[str, str | None]) -> Path:
    """Note inputs and recipe in a directory that is held, and return the folder for what is not finished."""
    partial = path / PARTIAL
    recipe.save(path / RECIPE)  # first, as it says that the directory is a run's
    if noted(partial / INPUTS) != inputs:  # it does not say what it was begun on, so nothing of it can be used
        tidy(path)
        shutil.rmtree(path / KEPT, ignore_errors=True)
        with whole_file(partial / INPUTS) as temporary:
            temporary.write_text(json.dumps(inputs), encoding="utf-8")
    return partial


def abandon(path: Path) -> None:
    """Take back what `begin` made, so that the directory can be used for another recipe."""
    tidy(path)
    shutil.rmtree(path / KEPT, ignore_errors=True)
    (path / RECIPE).unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove the run in a directory that is held, whatever its state; its recipe last, by which it is known."""
    empty(path, but=[PARTIAL, RECIPE])
    abandon(path)


def finish(path: Path, recipe: Recipe, metrics: dict[str, Any], log: list[dict[str, Any]]) -> Run:
    """Write log and metrics; the metrics last, as they mark the run as finished."""
    for name, text in (
        (LOG, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in log)),
        (METRICS, json.dumps(metrics, indent=1) + "\n"),
    ):
        with whole_file(path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    tidy(path)
    return Run(path, recipe, metrics)


def tidy(path: Path) -> None:
    """Remove what was not finished from a directory that is held."""
    empty(path / PARTIAL, but=[_LOCK])
