"""Do intruders grow and rise in rank along a run?

Question: does an intruder's singular value grow as training goes on, and does it rise among those of its matrix?
Method: full tuning at its middle rate and LoRA of rank 8 at three, four checkpoints along each run, three seeds; at
each the intruders at ε = 0.5 and 0.8 and the accuracy. Of every matrix in which LoRA has one at ε = 0.8 at two
checkpoints or more: the place and the singular value of its leading one, at the first of them and the last.
Verdict: encoder: holds; decoder: holds. Numbers: results/dynamics-*.json, and the table in the README.

    python analyses/dynamics.py [--quick]
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from common import GRIDS, Setting, each_base, keep
from curves import along, runs_along

import spectra
from spectra.studies.statistics import spread

EPSILON = 0.8
COLUMNS = ["rate", "seed", "step", "matrix", "place", "singular_value"]


def leading_intruders(setting: Setting, rate: float) -> list[dict[str, Any]]:
    """The place and singular value of each matrix's leading intruder, a row a seed, checkpoint and matrix with one."""
    rows = []
    for run in runs_along(setting, "lora", 8, rate):
        steps = [entry["step"] for entry in run.metrics["checkpoints"]]
        compared = spectra.compare(setting.fields["base"], run.checkpoints, epsilon=EPSILON, method="exact")
        for step, result in zip(steps, compared, strict=True):
            new = result.vectors[result.vectors["max_cosine"] < EPSILON].sort_values("index")
            for vector in new.drop_duplicates("name").itertuples():
                values = rate, run.recipe.seed, step, vector.name, vector.index + 1, vector.singular_value
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


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
    leading = pd.DataFrame([row for rate in rates for row in leading_intruders(setting, rate)], columns=COLUMNS)
    spectra.Study("vectors", leading, {}).write(setting.results() / f"leading_intruders-{setting.name}.parquet")
    paths = [path for _, path in leading.groupby(["rate", "seed", "matrix"]) if len(path) > 1]
    ends = [(path.iloc[0], path.iloc[-1]) for path in paths]
    grew = sum(last["singular_value"] > first["singular_value"] for first, last in ends)
    rose, fell = (sum(sign * (first["place"] - last["place"]) > 0 for first, last in ends) for sign in (1, -1))
    most = 0.9 * len(ends)
    finding = {
        "claim": "along a LoRA run intruders grow in singular value and rise in rank",
        "numbers": f"intruders at ε = 0.8 by step: {'; '.join(words)}",
        "verdict": ("cannot tell" if len(ends) < 10 else "holds" if grew >= most and rose > fell else
                    "does not hold" if grew < len(ends) / 2 or rose < fell else "cannot tell")
        + f": of {len(ends)} matrices and runs with one at two checkpoints or more the leading one's singular value "
        f"grew in {grew}; its place rose in {rose}, fell in {fell}",
    }  # fmt: skip
    keep(setting, "dynamics", spectra.Study("dynamics", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
