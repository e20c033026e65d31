"""Does the order of the methods depend on the thresholds?

Question: is the number of intruders of low-rank LoRA above that of full tuning whatever ε and k?
Method: the picked runs of `rank_sweep` (largest rate as accurate as the best), counted at ε = 0.1 … 0.95 and
k = 1 … 10 from the exact cosines of every examined vector; no new comparison is run. Three seeds.
Verdict: encoder: holds; decoder: holds. Numbers: results/epsilon_and_k-*.json, and the table in the README.

    python analyses/epsilon_and_k.py [--quick]
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from common import Setting, each_base, keep

from spectra.studies.sweep import VECTORS

EPSILONS = [round(float(e), 2) for e in np.arange(0.1, 1.0, 0.05)]


def counted(vectors: pd.DataFrame) -> dict[tuple[float, int], int]:
    """Intruders of one run at each ε and k."""
    return {
        (e, k): int(((vectors["max_cosine"] < e) & (vectors["index"] < k)).sum())
        for e in EPSILONS
        for k in range(1, 11)
    }


def main(setting: Setting) -> None:
    """Of one base."""
    picked = setting.picked()
    whole = setting.main_sweep()
    vectors = pd.read_parquet(setting.runs / setting.name / VECTORS)
    rows = []
    for run in picked.itertuples(index=False):
        for (e, k), count in counted(vectors[vectors["run"] == run.run]).items():
            label = "full" if run.method == "full" else f"LoRA r = {run.rank:g}"
            rows.append({"run": label, "seed": run.seed, "epsilon": e, "k": k, "num_intruders": count})
    table = pd.DataFrame(rows)
    mean = table.groupby(["run", "epsilon", "k"])["num_intruders"].mean().unstack("run")
    low = mean["LoRA r = 1"]
    some = (low > 0) | (mean["full"] > 0)
    above = int((low > mean["full"])[some].sum())
    verdict = "holds" if above == some.sum() else "does not hold" if above < some.sum() / 2 else "cannot tell"
    verdict = verdict if some.any() else "cannot tell"
    keep(
        setting,
        "epsilon_and_k",
        dataclasses.replace(whole, kind="counts", table=table),
        {
            "claim": "low-rank LoRA has more intruders than full tuning at every ε and k",
            "numbers": f"rank 1 is above full tuning at {above} of {some.sum()} pairs of ε and k with any",
            "verdict": f"{verdict}: at k = 10 the means are "
            + ", ".join(f"{low[e, 10]:.0f} / {mean['full'][e, 10]:.0f} (ε = {e:g})" for e in (0.3, 0.5, 0.7, 0.9)),
        },
    )


if __name__ == "__main__":
    each_base(main, __doc__)
