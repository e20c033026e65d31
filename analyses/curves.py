"""What the studies' curves are drawn from: counts at every threshold, and measurements along a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from common import Setting, portable

import spectra
from spectra.studies.grid import recipes, run_name

EPSILONS = [round(0.05 * step, 2) for step in range(2, 20)]


def keep_counts(setting: Setting, runs: Mapping[str, pd.DataFrame], study: str) -> pd.DataFrame:
    """Intruders at every ε and every number k of leading vectors, up to all of them; kept for the figures.

    Counted from the exact cosines of all vectors of the runs of each label; a row a label, seed, ε and k.
    """
    paths = {(label, run.seed): setting.run_path(run.run) for label, t in runs.items() for run in t.itertuples()}
    options: dict[str, Any] = {"k": 2**30, "epsilon": 0.8, "method": "exact"}  # k is cut to each matrix's own number
    results = spectra.compare(setting.fields["base"], list(paths.values()), **options)
    rows = []
    for (label, seed), result in zip(paths, results, strict=True):
        vectors = result.vectors
        most = int(vectors["index"].max()) + 1
        ks = sorted({*range(1, 11), *(round(most * share / 20) for share in range(1, 21))})
        for epsilon in EPSILONS:
            places = vectors["index"][vectors["max_cosine"] < epsilon].to_numpy()
            row = {"run": label, "seed": seed, "epsilon": epsilon}
            rows += [{**row, "k": k, "num_intruders": int((places < k).sum())} for k in ks]
    table = pd.DataFrame(rows)
    counted = spectra.Study("counts", table, {"base": portable(setting.fields["base"])})
    counted.write(setting.results() / f"{study}-counts-{setting.name}.parquet")
    return table


def runs_along(setting: Setting, method: str, rank: int, rate: float) -> list[spectra.Run]:
    """A run a seed with four checkpoints along it."""
    fields = {**setting.fields, "method": method, "rank": max(rank, 1), "learning_rate": rate, "checkpoints": 4}
    fields |= {"max_steps": 4} if setting.quick else {}
    found = recipes({**fields, "seed": setting.seeds}).values()
    return [spectra.train(recipe, setting.runs / setting.name / "runs" / run_name(recipe)) for recipe in found]


def along(setting: Setting, method: str, rank: int, rate: float, *, forgetting: bool = False) -> list[dict[str, Any]]:
    """What is measured at each checkpoint of `runs_along`, a row a checkpoint."""
    rows = []
    for run in runs_along(setting, method, rank, rate):
        table = spectra.dynamics(run).table.assign(seed=run.recipe.seed, method=method, rank=rank, learning_rate=rate)
        table = table.assign(**setting.bounds)
        if forgetting:
            losses = spectra.forgetting(setting.fields["base"], run.checkpoints, **setting.on_text)
            table["forgetting"] = losses.table["rise"].tolist()[1:]  # the first row is the base itself
        rows += table.to_dict("records")
    return rows
