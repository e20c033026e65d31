"""A run directory: the checkpoint, the recipe it was made from, what it measured, the log."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..files import fingerprint, whole_file
from .recipe import Recipe
from .tasks import READERS

RECIPE, METRICS, LOG, INPUTS = "recipe.yaml", "metrics.json", "log.jsonl", "inputs.json"
PARTIAL, KEPT = "partial", "checkpoints"


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
        try:
            metrics = json.loads((path / METRICS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"{path}: not a finished run (no {METRICS}); train it, or let it go on, with spectra train"
            ) from error
        return cls(path, Recipe.load(path / RECIPE), metrics)

    @property
    def checkpoints(self) -> list[Path]:
        """The directories that `Recipe.checkpoints` asked for, in the order of their steps."""
        return [self.path / KEPT / f"{entry['step']:07}" for entry in self.metrics.get("checkpoints", [])]

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the Trainer logged: step, loss, learning rate, gradient norm."""
        lines = (self.path / LOG).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def find_finished(path: Path, recipe: Recipe) -> Run | None:
    """The run in a directory if it is finished, None if it can begin or go on; nothing is changed.

    Raises
    ------
    RecipeError
        If the directory holds something else, or a run of another recipe or on a base or data that has changed since.
    """
    if path.exists() and not path.is_dir():
        raise RecipeError(f"{path}: a file is in the place of the run directory; choose another")
    if (path / RECIPE).is_file():
        kept = Recipe.load(path / RECIPE)
        if kept != recipe:
            changed = [name for name, value in recipe.to_dict().items() if kept.to_dict()[name] != value]
            raise RecipeError(
                f"{path}: holds a run with another {', '.join(changed)}; choose another directory or remove it"
            )
        done = Run.open(path) if (path / METRICS).is_file() else None
        begun = path / PARTIAL / INPUTS
        inputs = done.metrics.get("inputs") if done else json.loads(begun.read_text()) if begun.is_file() else None
        if edited := changed_input(recipe, inputs):
            raise RecipeError(f"{path}: {edited} has changed since this run; choose another directory or remove it")
        return done
    elif path.is_dir() and any(path.iterdir()):
        raise RecipeError(f"{path}: not empty and not a run; choose another directory")
    return None


def input_digests(recipe: Recipe) -> dict[str, str | None]:
    """SHA-256 of the base and of the task that a recipe names, over their files; None of what is not local."""
    model, data = (".safetensors", ".bin", ".json", ".txt", ".model"), (*READERS, ".arrow")
    found = {"base": _digest(recipe.base, "*", model)}  # with its tokenizer
    return found | {name: _digest(getattr(recipe, name), "**/*", data) for name in ("task", "eval")}


def _digest(source: str | None, pattern: str, suffixes: tuple[str, ...]) -> str | None:
    """Of a file, or of those in a folder that are read."""
    path = Path(source or os.devnull).expanduser()
    inside = sorted(file for file in path.glob(pattern) if file.suffix in suffixes) if path.is_dir() else [path]
    files = [f"{file.relative_to(path)} {fingerprint(file)['sha256']}" for file in inside if file.is_file()]
    return hashlib.sha256("\n".join(files).encode()).hexdigest() if files else None


def changed_input(recipe: Recipe, inputs: dict[str, str | None] | None) -> str:
    """The base or file of a task that is not what it was when a run noted `inputs`; empty if there is none."""
    now = input_digests(recipe)
    different = (name for name, digest in (inputs or {}).items() if digest and now[name] and now[name] != digest)
    return next((str(getattr(recipe, name)) for name in different), "")


def begin(path: Path, recipe: Recipe, inputs: dict[str, str | None]) -> Path:
    """Make the directory, note recipe and inputs, and return the folder for what is not finished."""
    try:
        (path / PARTIAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be made ({error.strerror}); choose another directory") from error
    recipe.save(path / RECIPE)
    with whole_file(path / PARTIAL / INPUTS) as temporary:
        temporary.write_text(json.dumps(inputs), encoding="utf-8")
    return path / PARTIAL


def abandon(path: Path) -> None:
    """Take back what `begin` made, so that the directory can be used for another recipe."""
    shutil.rmtree(path / PARTIAL)
    shutil.rmtree(path / KEPT, ignore_errors=True)
    (path / RECIPE).unlink()
    path.rmdir()


def finish(path: Path, recipe: Recipe, metrics: dict[str, Any], log: list[dict[str, Any]]) -> Run:
    """Write log and metrics; the metrics last, as they mark the run as finished."""
    for name, text in (
        (LOG, "".join(json.dumps(entry) + "\n" for entry in log)),
        (METRICS, json.dumps(metrics, indent=1) + "\n"),
    ):
        with whole_file(path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    shutil.rmtree(path / PARTIAL)
    return Run(path, recipe, metrics)
