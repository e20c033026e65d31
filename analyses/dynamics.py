"""When in a run do intruders appear?

Question: do intruders appear early and rise in rank and singular value while accuracy is already there?
Method: full tuning and LoRA of rank 8 at the middle rate, four checkpoints along each run, three seeds; at each
the intruders at ε = 0.5 and 0.8, the best place of one among the singular values, its singular value, and the accuracy.
Verdict: encoder: does not hold; decoder: does not hold. Numbers: results/dynamics-*.json, and the table in the README.

    python analyses/dynamics.py [--quick]
"""

from __future__ import annotations

import pandas as pd
from common import GRIDS, Setting, each_base, keep

import spectra
from spectra.studies.grid import recipes, run_name
from spectra.studies.statistics import spread

RUNS = (("full", 0), ("lora", 8))


def main(setting: Setting) -> None:
    """Of one base."""
    rows = []
    for method, rank in RUNS:
        rate = GRIDS[setting.kind][method, rank][1]
        fields = {**setting.fields, "method": method, "rank": max(rank, 1), "learning_rate": rate, "checkpoints": 4}
        if setting.quick:
            fields |= {"max_steps": 4}
        for recipe in recipes({**fields, "seed": setting.seeds}).values():
            run = spectra.train(recipe, setting.runs / setting.name / "runs" / run_name(recipe))
            label = "full" if method == "full" else f"LoRA r = {rank}"
            found = spectra.dynamics(run).table.assign(run=label, seed=recipe.seed)
            rows += found.to_dict("records")
    table = pd.DataFrame(rows)
    words, early = [], []
    for label, group in table.groupby("run", sort=False):
        by_step = group.groupby("step")
        counts = by_step["num_intruders_0.8"].mean()
        words.append(
            f"{label}: "
            + ", ".join(f"{step}: {spread(g['num_intruders_0.8'].tolist())}" for step, g in by_step)
            + f" (accuracy {by_step['accuracy'].mean().iloc[0]:.3f} to {by_step['accuracy'].mean().iloc[-1]:.3f})"
        )
        if counts.iloc[-1] > 1:
            early.append(counts.iloc[0] >= counts.iloc[-1] / 2)
    finding = {
        "claim": "intruders appear early in training",
        "numbers": f"intruders at ε = 0.8 by step: {'; '.join(words)}",
        "verdict": ("cannot tell" if not early else "holds" if all(early) else "does not hold")
        + f": {sum(early)} of {len(early)} kinds of run that end with any have half of them after a quarter",
    }
    keep(setting, "dynamics", spectra.Study("dynamics", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
