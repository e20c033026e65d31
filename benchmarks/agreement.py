"""The certified verdicts beside the exact ones on real pretrained weights, really tuned in every way there is."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import spectra
from spectra.trainer.methods import METHODS

EPSILONS = (0.3, 0.5, 0.8)


def agreement(bases: list[str]) -> list[dict[str, Any]]:
    """Tune each base in every way, compare both ways, print and return a row a tuned model."""
    if not bases:
        raise SystemExit("agreement: name one directory of a base or more")
    found = []
    for base in bases:
        with tempfile.TemporaryDirectory() as folder:
            runs = [_tuned(base, method, Path(folder) / method).path for method in METHODS]
            for method, run in zip(METHODS, runs, strict=True):
                # Each on its own: a decomposition of the base that another one asked for would decide it.
                started = time.perf_counter()
                exact = spectra.compare(base, run, method="exact", epsilon=EPSILONS)
                between = time.perf_counter()
                certified = spectra.compare(base, run, method="certified", epsilon=EPSILONS).matrices
                seconds = {"exact_seconds": between - started, "seconds": time.perf_counter() - between}
                row: dict[str, Any] = {"model": Path(base).name, "method": method, "matrices": exact.num_matrices}
                row |= {"without_svd": int((certified["method"] == "certified").sum())}
                row |= {"intruders": [exact.count(epsilon) for epsilon in EPSILONS]}
                found.append(row | seconds | _difference(certified, exact.matrices))
                print(found[-1], flush=True)
    return found


def _tuned(base: str, method: str, path: Path) -> spectra.Run:
    rate = 2e-3 if method == "full" else 2e-2  # far too much: a dozen steps have to plant what hundreds would
    recipe = spectra.Recipe(
        base=base, task="movie-reviews", method=method, rank=4, learning_rate=rate, max_steps=12,
        batch_size=4, max_length=24, num_examples=96, resume_points=0,
    )  # fmt: skip
    return spectra.train(recipe, path)


def _difference(certified: pd.DataFrame, exact: pd.DataFrame) -> dict[str, Any]:
    """In how many verdicts the two differ, and how far an exact cosine lies outside of its bounds at most."""
    lower, upper, cosines = (
        np.concatenate(list(column))
        for column in (certified["max_cosine_lower"], certified["max_cosine_upper"], exact["max_cosine"])
    )
    told = [(upper < epsilon) != (cosines < epsilon) for epsilon in EPSILONS]
    told += [(lower < epsilon) != (cosines < epsilon) for epsilon in EPSILONS]
    return {
        "vectors": len(cosines),
        "different": int(np.any(told, axis=0).sum()),
        "outside": float(max((lower - cosines).max(), (cosines - upper).max())),
    }
