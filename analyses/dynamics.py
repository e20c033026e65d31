"""Do intruders grow and rise in rank along a run?

Question: does an intruder's singular value grow as training goes on, and does it rise among those of its matrix, more
than the vectors beside it do?
Method: full tuning at its middle rate and LoRA of rank 8 at three, four checkpoints along each run, three seeds; at
each the intruders at ε = 0.5 and 0.8 and the accuracy. In every matrix of LoRA's runs that learned something, the
leading intruder (ε = 0.8) is followed from the first checkpoint that has one to the last: at the next checkpoint it is
the singular vector that holds at least half of it (cos² ≥ 1/2). Beside it, as a control, the nearest non-intruder.
Verdict: encoder: cannot tell; decoder: cannot tell. Numbers: results/dynamics-*.json, and the table in the README.

    python analyses/dynamics.py [--quick]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from common import GRIDS, Setting, each_base, keep
from curves import along, runs_along

import spectra
from spectra.linalg import svd
from spectra.studies.statistics import spread
from spectra.weights import open_checkpoint, pair

EPSILON = 0.8
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


def grown(paths: pd.DataFrame, last: int) -> tuple[int, pd.Series, int, int]:
    """Of the vectors that were followed to the end: how many, their growth, and how many places rose and fell."""
    groups = paths.groupby(["rate", "seed", "matrix"])
    ends = groups.last()[groups["step"].max() == last]
    begun = groups.first().loc[ends.index]
    growth = ends["singular_value"] / begun["singular_value"]
    return len(ends), growth, int((ends["place"] < begun["place"]).sum()), int((ends["place"] > begun["place"]).sum())


def main(setting: Setting) -> None:
    """Of one base."""
    rates = GRIDS[setting.kind]["lora", 8]
    rows = [{**row, "run": "full"} for row in along(setting, "full", 0, GRIDS[setting.kind]["full", 0][1])]
    for rate in rates:
        rows += [{**row, "run": f"LoRA r = 8, rate {rate:g}"} for row in along(setting, "lora", 8, rate)]
    table = pd.DataFrame(rows)
    words = []
    for label, group in table.groupby("run", sort=False):
        accuracy = group.groupby("step")["accuracy"].mean()
        steps = ", ".join(f"{step}: {spread(g['num_intruders_0.8'].tolist())}" for step, g in group.groupby("step"))
        words.append(f"{label}: {steps} (accuracy {accuracy.iloc[0]:.3f} to {accuracy.iloc[-1]:.3f})")
    end = table["step"].max()
    known, left_out = setting.learned(table[(table["method"] == "lora") & (table["step"] == end)])
    runs = [run for rate in rates for run in runs_along(setting, "lora", 8, rate)]
    wanted = set(zip(known["learning_rate"], known["seed"], strict=True))
    chosen = [run for run in runs if (run.recipe.learning_rate, run.recipe.seed) in wanted]
    paths = pd.DataFrame([row for run in chosen for row in followed(setting, run)], columns=COLUMNS)
    spectra.Study("vectors", paths, {}).write(setting.results() / f"leading_intruders-{setting.name}.parquet")
    count, growth, rose, fell = grown(paths[paths["vector"] == "intruder"], end)
    others, control, control_rose, control_fell = grown(paths[paths["vector"] == "neighbour"], end)
    grew, more = int((growth > 1).sum()), growth.median() > control.median()
    finding = {
        "claim": "along a LoRA run intruders grow in singular value and rise in rank",
        "numbers": f"intruders at ε = 0.8 by step: {'; '.join(words)}",
        "verdict": ("cannot tell" if count < 10 else "holds" if grew >= 0.9 * count and rose > fell and more else
                    "does not hold" if grew < count / 2 else "cannot tell")
        + f": of {count} intruders followed to the end {grew} grew (median {growth.median() - 1:+.1%}), {rose} rose "
        f"and {fell} fell in rank; of {others} non-intruders beside them {int((control > 1).sum())} grew "
        f"({control.median() - 1:+.1%}), {control_rose} rose and {control_fell} fell{left_out}",
    }  # fmt: skip
    keep(setting, "dynamics", spectra.Study("dynamics", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
