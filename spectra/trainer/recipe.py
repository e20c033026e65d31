"""What a run is made from: a plain dataclass, YAML or JSON on disk."""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import RecipeError
from ..escaping import shown
from ..files import whole_file
from ..text_files import read_json, read_yaml

# α · lr of the paper's runs, whatever the rank (arXiv 2410.21228, appendix on training).
_ALPHA_TIMES_RATE = 2.4e-3
_FULL_RATE = 1e-5
# Beyond these a number is a slip, and overflows further on.
_LARGEST, _LARGEST_FRACTION = 10**9, 1e30


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. The defaults are those of arXiv 2410.21228.

    Attributes
    ----------
    base : str
        A transformers directory, or a hub id (``org/name`` or ``org/name@revision``).
    task : str
        A ``.jsonl``, ``.csv``, ``.parquet`` or ``.txt`` file, a hub data set (``org/name`` or ``org/name:config``), or
        a built-in one. With a label column it is sequence classification, without one causal language modelling.
    eval : str or None
        Where to measure, in the same forms; by default the hub data set's own split, else a tenth held out of `task`.
    method : str
        ``"full"``, ``"lora"``, ``"rslora"``, ``"dora"``, or ``"lora-fa"`` (A orthonormal and frozen).
    rank : int
        Of a LoRA update.
    alpha : float or None
        LoRA's α; by default twice the rank.
    learning_rate : float or None
        By default 1e-5 for full tuning, ``2.4e-3 / alpha`` for LoRA.
    modules : str
        ``"all-linear"`` (all linear layers but embeddings and heads), or a regular expression that the whole name of
        a linear module has to match. Only these are trained, and the new head of a classifier.
    epochs : float
    max_steps : int or None
        Stops earlier, and the learning rate reaches zero there.
    batch_size, max_length : int
        Sequences a step, tokens a sequence.
    warmup_ratio : float
        Share of the steps over which the learning rate rises; it falls linearly to zero after.
    num_examples : int or None
        Train on so many, drawn by `seed`.
    text_fields, label_field : tuple of str, str
        Columns of the task; by default all text columns (at most two), and ``label``.
    seed : int
        Of the head, the order of the data and dropout.
    resume_points : int
        How many times the run saves itself, so that it goes on from there when it was cut off.
    checkpoints : int
        How many times along the run, evenly, the model is saved and measured for good.
    """

    base: str
    task: str
    eval: str | None = None
    method: str = "lora"
    rank: int = 8
    alpha: float | None = None
    learning_rate: float | None = None
    modules: str = "all-linear"
    epochs: float = 5.0
    max_steps: int | None = None
    batch_size: int = 16
    max_length: int = 128
    warmup_ratio: float = 0.06
    num_examples: int | None = None
    text_fields: tuple[str, ...] = ()
    label_field: str = "label"
    seed: int = 0
    resume_points: int = 4
    checkpoints: int = 0

    def __post_init__(self) -> None:
        from .methods import METHODS

        if self.method not in METHODS:
            raise RecipeError(f"method {shown(self.method)} is not one of {', '.join(METHODS)}")
        for name in (
            "rank",
            "batch_size",
            "max_length",
            "max_steps",
            "num_examples",
            "alpha",
            "learning_rate",
            "epochs",
        ):
            value = getattr(self, name)
            most = _LARGEST if isinstance(value, int) else _LARGEST_FRACTION
            if value is not None and not 0 < value <= most:
                raise RecipeError(f"{name} must be above zero and at most {most:g}, got {shown(value)}")
        if self.max_length < 2:
            raise RecipeError("max_length must be at least 2: of one token nothing can be predicted")
        if not 0 <= self.seed < 2**32:
            raise RecipeError(f"seed must lie in [0, 2**32), got {self.seed}")
        if not 0 <= self.warmup_ratio < 1:
            raise RecipeError(f"warmup_ratio must lie in [0, 1), got {self.warmup_ratio}")
        for name in ("resume_points", "checkpoints"):
            if not 0 <= getattr(self, name) <= _LARGEST:
                raise RecipeError(f"{name} must lie in [0, {_LARGEST:g}], got {shown(getattr(self, name))}")

    @property
    def lora_alpha(self) -> float:
        """α as it is used: the recipe's own, or twice the rank."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def rate(self) -> float:
        """The learning rate as it is used."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _FULL_RATE if self.method == "full" else _ALPHA_TIMES_RATE / self.lora_alpha

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some fields changed."""
        return self.from_dict(self.to_dict() | changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return dataclasses.asdict(self) | {"text_fields": list(self.text_fields)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """A recipe from plain values.

        Raises
        ------
        RecipeError
            If a field is unknown, missing, of the wrong type or out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(str(name), fields, n=1)
                raise RecipeError(
                    f"a recipe has no field {shown(name)}" + (f"; did you mean {near[0]!r}?" if near else "")
                )
        # YAML takes 1e-4, without a point, for text.
        values = {
            name: _as_number(value) if "float" in str(fields[name].type) else value for name, value in values.items()
        }
        for name, value in values.items():
            if not _fits(value, str(fields[name].type)):
                raise RecipeError(f"{name} must be of type {fields[name].type}, got {shown(value)}")
        for name in ("base", "task"):
            if name not in values:
                raise RecipeError(f"a recipe needs {name!r}")
        return cls(**values | {"text_fields": tuple(values.get("text_fields", ()))})

    def save(self, path: str | Path) -> None:
        """Write ``.yaml`` or ``.json``."""
        text = (
            json.dumps(self.to_dict(), indent=1)
            if Path(path).suffix == ".json"
            else yaml.safe_dump(self.to_dict(), sort_keys=False)
        )
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Recipe:
        """Read ``.yaml`` or ``.json``, with some fields changed.

        Raises
        ------
        RecipeError
            If there is no such file, or it is not a recipe.
        """
        values = read_mapping(path, "a recipe is a mapping of fields to values")
        try:
            return cls.from_dict(values | changes)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from error


def read_mapping(path: str | Path, what: str) -> dict[str, Any]:
    """A mapping from a YAML or JSON file; RecipeError, which says `what` was expected, for anything else."""
    values = (read_json if Path(path).suffix == ".json" else read_yaml)(path, error=RecipeError)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise RecipeError(f"{path}: {what}; write it as `name: value` lines")
    return values


def _as_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _fits(value: Any, annotation: str) -> bool:
    if value is None:
        return "None" in annotation
    if "tuple" in annotation:
        return isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
    kinds: tuple[type, ...] = (int, float) if "float" in annotation else (int,) if "int" in annotation else (str,)
    return isinstance(value, kinds) and not isinstance(value, bool)
