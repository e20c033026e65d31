"""Training dynamics: what the checkpoints along a run say about when intruders appear."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparing import compare, differs
from ..errors import RecipeError
from ..trainer import Run
from .columns import whole
from .study import Study, versions
from .sweep import epsilon_list


def dynamics(
    run: str | Path | Run,
    *,
    k: int = 10,
    epsilon: float | Sequence[float] = (0.5, 0.8),
    device: str = "cpu",
    progress: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Compare each checkpoint along a run with its base (arXiv 2410.21228, Fig. 5).

    Parameters
    ----------
    run : str, Path or Run
        A run directory whose recipe asked for `checkpoints`.
    k, epsilon, device, progress
        Of `spectra.compare`; the vectors described are intruders at the largest epsilon.

    Returns
    -------
    Study
        A row a checkpoint: ``step``; ``accuracy`` (or ``perplexity``) and ``loss``; ``num_intruders_<epsilon>``;
        ``best_rank``, the highest place of an intruder among the singular values of its matrix (1 is the first), and
        ``mean_singular_value`` of the intruders, both NaN where there is none; ``spike_ratio`` and ``relative_delta``,
        means over matrices.

    Raises
    ------
    RecipeError
        If the run kept no checkpoints.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if not run.checkpoints:
        raise RecipeError(f"{run.path}: kept no checkpoints; train it with --checkpoints")
    epsilons = epsilon_list(epsilon)
    widest = max(epsilons)
    base = run.recipe.base
    moved = [path for path in run.checkpoints if differs(base, path)]  # the first step of a warm-up changes nothing
    options: dict[str, Any] = {"k": k, "epsilon": epsilons, "device": device}
    results = dict(zip(moved, compare(base, moved, progress=progress, **options) if moved else [], strict=True))
    rows = []
    for entry, path in zip(run.metrics["checkpoints"], run.checkpoints, strict=True):
        if path not in results:
            unmoved = {**{f"num_intruders_{one:g}": 0 for one in epsilons}, "best_rank": math.nan}
            rows.append({**entry, **unmoved, "mean_singular_value": math.nan})
            rows[-1] |= {"spike_ratio": 0.0, "relative_delta": 0.0}
            continue
        result = whole(results[path])
        vectors = result.vectors
        new = vectors[vectors["max_cosine_upper"] < widest]
        rows.append(
            {
                **entry,
                **{f"num_intruders_{one:g}": result.count(one) for one in epsilons},
                "best_rank": new["index"].min() + 1 if len(new) else math.nan,
                "mean_singular_value": new["singular_value"].mean() if len(new) else math.nan,
                **{name: float(result.matrices[name].mean()) for name in ("spike_ratio", "relative_delta")},
            }
        )
    provenance = {"run": str(run.path), "recipe": run.recipe.to_dict(), "k": k, "epsilon": epsilons}
    return Study("dynamics", pd.DataFrame(rows), {**provenance, "versions": versions()})
