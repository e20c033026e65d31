"""Does the order of the methods depend on the thresholds?

Question: is the number of intruders of low-rank LoRA above that of full tuning whatever ε and k?
Method: the picked runs of `rank_sweep`, every saved seed, counted at ε = 0.1 … 0.95 from the exact cosines of every
singular vector, of the k = 1 … 10 leading ones and of more. The counts at many ε and k are nested: they are of the same
few models, and one test, not hundreds. So what is decided is the mean count over all ε and k ≤ 10, a number a model.
How many pairs of ε and k point the same way is said, and is no evidence of its own.
Verdicts, encoder and decoder: rank 1 plants more than full tuning over all ε and k ≤ 10: does not hold, holds.

    python analyses/epsilon_and_k.py [--quick]
"""

from __future__ import annotations

import dataclasses

import pandas as pd
from common import Setting, each_base, keep
from curves import keep_counts
from saved import MANY, Finding, Saved, by_seed

from spectra.studies.verdicts import difference


def measure(setting: Setting) -> None:
    """Count."""
    whole = setting.main_sweep()
    picked = setting.picked()
    labels = ["full" if row.method == "full" else f"LoRA r = {row.rank:g}" for row in picked.itertuples()]
    keep_counts(setting, dict(list(picked.groupby(labels, sort=False))), "epsilon_and_k")
    keep(setting, "epsilon_and_k", dataclasses.replace(whole, table=picked))


def decide(saved: Saved) -> Finding:
    """From the saved tables; the five seeds of `seeds` are the same settings."""
    counts = pd.concat([saved.table("epsilon_and_k-counts"), saved.table("seeds-counts")], ignore_index=True)
    counts = counts.drop_duplicates(["run", "seed", "epsilon", "k"])
    leading = counts[counts["k"] <= 10]
    low, full = (leading[leading["run"] == run] for run in ("LoRA r = 1", "full"))
    examined = saved.runs()["num_vectors"].max() * low["k"].mean() / 10
    claim = difference(
        "rank 1 plants more than full tuning over all ε and k ≤ 10",
        by_seed(low, "num_intruders"),
        by_seed(full, "num_intruders"),
        claimed=MANY * examined,
        measure="{} intruders",
    )
    means = leading.groupby(["run", "epsilon", "k"])["num_intruders"].mean().unstack("run")
    low_mean, full_mean = means["LoRA r = 1"], means["full"]
    more, less = int((low_mean > full_mean).sum()), int((low_mean < full_mean).sum())
    ends = "; ".join(f"ε = {e:g}: {low_mean[e, 10]:.0f} / {full_mean[e, 10]:.0f}" for e in (0.3, 0.5, 0.7, 0.9))
    return Finding(
        "epsilon_and_k",
        [claim],
        f"mean counts of rank 1 / full tuning at k = 10: {ends}. Rank 1 is above at {more} of {len(means)} pairs of ε "
        f"and k ≤ 10, below at {less}: all of them of the same {claim.units[0]} and {claim.units[1]} models",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
