"""Do intruders grow and rise in rank along a run?

Question: does an intruder's singular value grow as training goes on, and does it rise among those of its matrix, more
than the vectors beside it do?
Method: full tuning at its middle rate and LoRA of rank 8 at three, four checkpoints along each run, three seeds; at
each the intruders and the accuracy. In every matrix of LoRA's runs that learned something, the leading intruder (ε =
0.8) is followed from the first checkpoint that has one to the last: at the next checkpoint it is the singular vector
that holds at least half of it (cos² ≥ 1/2). Beside it, as a control, the nearest non-intruder. The vectors are nested
in their runs: what is decided on is a run's median growth and mean rise.
Verdicts, encoder and decoder: intruders grow along a run, by 1% more than others: does not hold, does not hold;
intruders rise along a run, by half a place: does not hold, does not hold.

    python analyses/dynamics.py [--quick]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from common import GRIDS, Setting, each_base, keep
from curves import along, runs_along
from saved import COUNT, Finding, Saved, learned, words

import spectra
from spectra.linalg import svd
from spectra.studies.verdicts import mean
from spectra.weights import open_checkpoint, pair

EPSILON = 0.8
GROW, RISE = "intruders grow along a run, by 1% more than others", "intruders rise along a run, by half a place"
COLUMNS = ["rate", "seed", "matrix", "vector", "step", "place", "singular_value"]


def starts(results: list[spectra.Comparison]) -> dict[str, tuple[int, dict[str, int]]]:
    """Of each matrix the first checkpoint but the last that has intruders, and which vectors to follow from there."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for at, result in enumerate(results[:-1]):
        for row in result.matrices.itertuples():
            if row.intruders and row.name not in found:
                first = min(row.intruders)
                others = [j for j in range(len(row.max_cosine)) if j not in row.intruders]
                beside = min(others, key=lambda j: (abs(j - first), -j), default=None)
                found[row.name] = at, {"intruder": first} | ({} if beside is None else {"neighbour": beside})
    return found


def followed(setting: Setting, run: spectra.Run) -> Iterator[dict[str, Any]]:
    """A row a checkpoint of each vector that is followed, until less than half of it is in any one."""
    base = open_checkpoint(setting.fields["base"])
    results = spectra.compare(base, run.checkpoints, epsilon=EPSILON, method="exact")
    vectors = starts(results)
    paths: dict[tuple[str, str], torch.Tensor] = {}
    for at, (entry, path) in enumerate(zip(run.metrics["checkpoints"], run.checkpoints, strict=True)):
        for one in pair(base, open_checkpoint(path), include=("",)).pairs:
            first, chosen = vectors.get(one.name, (len(results), {}))
            if at < first:
                continue
            W0 = one.read_base(dtype=torch.float32, device="cpu")
            whole = svd(one.read_whole(W0))
            U, s = whole.U, whole.s
            for kind, place in chosen.items():
                u = U[:, place] if at == first else paths.pop((one.name, kind), None)
                if u is None:
                    continue
                cosines = (U.mT @ u).abs()
                now = int(cosines.argmax())
                if cosines[now] ** 2 >= 0.5:
                    paths[one.name, kind] = U[:, now]
                    what = run.recipe.learning_rate, run.recipe.seed, one.name, kind
                    yield dict(zip(COLUMNS, (*what, entry["step"], now + 1, float(s[now])), strict=True))


def measure(setting: Setting) -> None:
    """Train, count and follow."""
    rates = GRIDS[setting.kind]["lora", 8]
    rows = [{**row, "run": "full"} for row in along(setting, "full", 0, GRIDS[setting.kind]["full", 0][1])]
    for rate in rates:
        rows += [{**row, "run": f"LoRA r = 8, rate {rate:g}"} for row in along(setting, "lora", 8, rate)]
    table = pd.DataFrame(rows)
    known = learned(table[(table["method"] == "lora") & (table["step"] == table["step"].max())])
    wanted = set(zip(known["learning_rate"], known["seed"], strict=True))
    runs = [run for rate in rates for run in runs_along(setting, "lora", 8, rate)]
    chosen = [run for run in runs if (run.recipe.learning_rate, run.recipe.seed) in wanted]
    paths = pd.DataFrame([row for run in chosen for row in followed(setting, run)], columns=COLUMNS)
    spectra.Study("vectors", paths, {}).write(setting.results() / f"leading_intruders-{setting.name}.parquet")
    keep(setting, "dynamics", spectra.Study("dynamics", table, {"base": setting.fields["base"]}))


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    table = saved.table("dynamics")
    ends = changes(saved.table("leading_intruders"), table["step"].max())
    by_run = ends.groupby(["vector", "rate", "seed"]).agg({"growth": "median", "places": "mean"})
    beyond = by_run[by_run.index.get_level_values(0) == "intruder"].droplevel(0)
    beyond = beyond - by_run[by_run.index.get_level_values(0) == "neighbour"].droplevel(0)
    steps = {f"{run}, step {step}": g for (run, step), g in table.groupby(["run", "step"], sort=False)}
    return Finding(
        "dynamics",
        [
            mean(GROW, beyond["growth"], claimed=1.0, measure="{}%", unit="runs"),
            mean(RISE, beyond["places"], claimed=0.5, measure="{} places", unit="runs"),
        ],
        "followed to the end, nested in the runs: "
        + ", ".join(f"{len(v)} {k}s (median growth {v.median():+.2f}%)" for k, v in ends.groupby("vector")["growth"])
        + ". Intruders by step: "
        + words(steps, **{COUNT: 1, "accuracy": 3}),
    )


def changes(paths: pd.DataFrame, last: int) -> pd.DataFrame:
    """Of every vector that was followed to the end, by how many % it grew and how many places it rose."""
    groups = paths.groupby(["rate", "seed", "vector", "matrix"])
    ends = groups.last()[groups["step"].max() == last]
    begun = groups.first().loc[ends.index]
    growth = 100 * (ends["singular_value"] / begun["singular_value"] - 1)
    return pd.DataFrame({"growth": growth, "places": begun["place"] - ends["place"]})


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
