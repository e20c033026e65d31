"""The columns of a run: from its recipe, its training, its comparison with the base."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparison import Comparison
from ..errors import SpectraError
from ..text_files import read_json_object
from ..trainer import Recipe, Run

FIELDS = (
    "method", "rank", "alpha", "learning_rate", "seed", "num_examples", "modules", "epochs", "max_steps", "batch_size",
    "max_length", "warmup_ratio", "task",
)  # fmt: skip


def problem(result: Comparison) -> str:
    """Why not all of a checkpoint could be compared, as something is wrong with it; empty where all was."""
    if result.failed:
        return result.failed
    for row in result.skipped[result.skipped["problem"]].itertuples(index=False):
        return f"{result.tuned}: {row.name} was not compared, as {row.reason}; mend it first"
    return ""


def whole(result: Comparison) -> Comparison:
    """The same; SpectraError where a matrix could not be compared, as a count over the rest would say too little."""
    if reason := problem(result):
        raise SpectraError(reason)
    return result


def comparison_columns(result: Comparison) -> dict[str, Any]:
    """What one comparison says, as columns of a run."""
    table = result.matrices
    least, most = result.at_chance_bounds()
    found: dict[str, Any] = {f"num_intruders_{epsilon:g}": result.count(epsilon) for epsilon in result.epsilons}
    found |= {"num_at_chance": least if least == most else math.nan, "num_vectors": sum(map(len, table["max_cosine"]))}
    for column in ("effective_rank", "stable_rank", "relative_delta", "spike_ratio", "intruder_energy_share"):
        found[column] = float(table[column].mean())
    return found


def vector_columns(result: Comparison) -> pd.DataFrame:
    """A row an examined vector, with the layer and module of its matrix."""
    places = result.matrices.set_index("name")[["layer", "module"]]
    return result.vectors.drop(columns="is_intruder").join(places, on="name")


def recipe_columns(recipe: Recipe) -> dict[str, Any]:
    """What was varied, as it was used."""
    values = recipe.to_dict() | {"learning_rate": recipe.rate, "alpha": recipe.lora_alpha}
    if recipe.method == "full":
        values |= {"rank": None, "alpha": None}
    return {name: values[name] for name in FIELDS}


def training_columns(run: Run) -> dict[str, Any]:
    """What the run measured itself."""
    metrics = run.metrics
    found: dict[str, Any] = {
        name: metrics[name] for name in ("accuracy", "perplexity", "loss", "steps", "seconds") if name in metrics
    }
    if "accuracy" in found:
        found["accuracy_standard_error"] = math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / metrics["num_eval"])
    return found


def setting_means(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers of a sweep averaged over the seeds of each setting, a row a setting.

    Runs that differ in nothing but the seed say the same thing several times: correlated as if they were independent,
    columns that both follow the setting get too small a p-value. A run without a known seed is a setting of its own.
    """
    if "seed" not in table:
        return table
    fields = [name for name in FIELDS if name in table and name != "seed"]
    alone = table["run"].where(table["seed"].isna(), "")
    return table.groupby([*fields, alone], dropna=False, sort=False).mean(numeric_only=True).reset_index()


def existing_columns(path: Path | None) -> dict[str, Any]:
    """What is known of a checkpoint that was trained elsewhere; of a model in memory, None, nothing is."""
    unknown = {"method": None, "rank": None, "alpha": None}
    if path is None:
        return unknown
    try:
        run = Run.open(path)
        return recipe_columns(run.recipe) | training_columns(run)
    except SpectraError:
        pass
    try:
        config = read_json_object(path / "adapter_config.json")
        kind = str(config["peft_type"]).lower()
        kind = "dora" if config.get("use_dora") else "rslora" if config.get("use_rslora") else kind
        return {"method": kind, "rank": config.get("r"), "alpha": config.get("lora_alpha")}
    except (SpectraError, KeyError):
        return unknown
