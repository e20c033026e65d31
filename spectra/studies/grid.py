"""From lists of recipe fields to one recipe a run."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..escaping import shown
from ..intruders import METHODS
from ..trainer import Recipe
from ..trainer.loading import OBJECTIVES
from ..trainer.recipe import read_mapping

# Options of a study itself, beside the fields of a recipe, in its file: what each must be, in words and as a test.
OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "k": ("a whole number above zero", lambda v: type(v) is int and v > 0),
    "epsilon": (
        "a cosine in (0, 1], or a list of them",
        lambda v: bool(v) and all(type(e) in (int, float) and 0 < e <= 1 for e in (v if isinstance(v, list) else [v])),
    ),
    "text": ("a file, a data set or self", lambda v: isinstance(v, str)),
    "objective": (f"one of auto, {', '.join(OBJECTIVES)}", lambda v: isinstance(v, str) and v in ("auto", *OBJECTIVES)),
    "num_sequences": ("a whole number above one", lambda v: type(v) is int and v > 1),
    "length": ("a whole number of at least 8", lambda v: type(v) is int and v >= 8),
    "device": ("cpu, cuda, cuda:1, …", lambda v: isinstance(v, str)),
    "method_of_comparison": (
        f"one of auto, {', '.join(METHODS)}",
        lambda v: isinstance(v, str) and v in ("auto", *METHODS),
    ),
}


MAX_RUNS = 10_000  # of a grid: more is a slip, at minutes a run


def load_grid(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe fields and the options of a study's YAML or JSON file.

    Raises
    ------
    RecipeError
        If there is no such file, it is not a mapping, or an option is not what it must be.
    """
    values = read_mapping(path, "a sweep is a mapping of recipe fields to values or lists of values")
    for name, value in values.items():
        if name in OPTIONS and not OPTIONS[name][1](value):
            raise RecipeError(f"{path}: {name} must be {OPTIONS[name][0]}, got {shown(value)}")
    return {k: v for k, v in values.items() if k not in OPTIONS}, {k: v for k, v in values.items() if k in OPTIONS}


def recipes(fields: Mapping[str, Any]) -> dict[str, Recipe]:
    """Every combination of the listed values, by the name of its run.

    Parameters
    ----------
    fields : Mapping
        Recipe fields; a list gives a run for each of its values. ``variants`` is a list of mappings of further fields,
        each combined with all that is outside, where only some combinations are wanted. ``alpha`` may be a rule:
        ``"2r"``, ``"r"``.

    Raises
    ------
    RecipeError
        If a field is unknown, a value does not fit, or there are more than 10,000 combinations.

    Examples
    --------
    >>> grid = {"base": "b", "task": "t.csv", "seed": [0, 1],
    ...         "variants": [{"method": "full"}, {"method": "lora", "rank": [1, 8], "alpha": "r"}]}
    >>> [(r.method, r.rank, r.alpha, r.seed) for r in recipes(grid).values()][:3]
    [('full', 8, None, 0), ('full', 8, None, 1), ('lora', 1, 1.0, 0)]
    """
    shared = {name: value for name, value in fields.items() if name != "variants"}
    found: dict[str, Recipe] = {}
    asked = 0
    variants = fields.get("variants") or [{}]
    if not isinstance(variants, (list, tuple)):
        raise RecipeError("variants: a list of mappings of recipe fields")
    for variant in variants:
        if not isinstance(variant, Mapping):
            raise RecipeError(f"variants: {shown(variant)} is not a mapping of recipe fields")
        axes = {
            name: value if isinstance(value, (list, tuple)) and name != "text_fields" else [value]
            for name, value in {"resume_points": 0, **shared, **variant}.items()
        }
        asked += math.prod(map(len, axes.values()))
        if asked > MAX_RUNS:  # known before the first is made
            raise RecipeError(
                f"a grid of {asked:,} runs or more, beyond {MAX_RUNS:,}; list fewer values, or make several"
            )
        if empty := [name for name, value in axes.items() if len(value) == 0]:
            raise RecipeError(f"{empty[0]}: an empty list makes no run; give it a value")
        for values in itertools.product(*axes.values()):
            recipe = _recipe(dict(zip(axes, values, strict=True)))
            found.setdefault(run_name(recipe), recipe)
    return found


def run_name(recipe: Recipe) -> str:
    """Readable, and another for every other recipe."""
    digest = hashlib.sha256(json.dumps(recipe.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    rank = "" if recipe.method == "full" else f"-r{recipe.rank}"
    return f"{recipe.method}{rank}-lr{recipe.rate:g}-s{recipe.seed}-{digest}"


def _recipe(values: dict[str, Any]) -> Recipe:
    if isinstance(values.get("alpha"), str):
        rule = re.fullmatch(r"(\d+\.?\d*|\.\d+)?r", values["alpha"])
        if not rule:
            raise RecipeError(f"alpha: {shown(values['alpha'])} is neither a number nor a rule such as 2r")
        rank = values.get("rank", Recipe.rank)
        if not isinstance(rank, int):
            raise RecipeError(f"rank must be of type int, got {shown(rank)}")
        values["alpha"] = float(rule[1] or 1) * rank
    if values.get("method") == "full":  # has neither: one run, however many ranks the others have
        values = {name: value for name, value in values.items() if name not in ("rank", "alpha")}
    return Recipe.from_dict(values)
