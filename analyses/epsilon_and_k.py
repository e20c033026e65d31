"""Does the order of the methods depend on the thresholds?

Question: is the number of intruders of low-rank LoRA above that of full tuning whatever ε and k?
Method: the picked runs of `rank_sweep` (largest rate as accurate as the best), counted at ε = 0.1 … 0.95 from the exact
cosines of every singular vector: of the k = 1 … 10 leading ones, which the verdict is on, and of 5% to all of each
matrix's; three seeds. It holds where rank 1 is above in every seed at nine in ten pairs of ε and k at which either
has any.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/epsilon_and_k-*.json, and the table in the README.

    python analyses/epsilon_and_k.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep
from curves import keep_counts


def main(setting: Setting) -> None:
    """Of one base."""
    whole = setting.main_sweep()
    picked = setting.picked()
    labels = ["full" if row.method == "full" else f"LoRA r = {row.rank:g}" for row in picked.itertuples()]
    table = keep_counts(setting, dict(list(picked.groupby(labels, sort=False))), "epsilon_and_k")
    by_seed = table.groupby(["run", "epsilon", "k"])["num_intruders"].agg(["mean", "min", "max"]).unstack("run")
    low, full = (by_seed.xs(run, axis=1, level="run") for run in ("LoRA r = 1", "full"))
    some = (low["mean"] > 0) | (full["mean"] > 0)
    leading = some.index.get_level_values("k") <= 10
    above, below = low["min"] > full["max"], full["min"] > low["max"]
    words = "; ".join(
        f"{where}: above in every seed at {(above & part).sum()} of {(some & part).sum()} pairs, below at "
        f"{(below & part).sum()}"
        for where, part in (("k ≤ 10", leading), ("5% to all of the vectors", ~leading))
    )
    last = int(table["k"].max())
    ends = {k: [f"{side['mean'][0.5, k]:.0f}" for side in (low, full)] for k in (10, round(last / 2), last)}
    finding = {
        "claim": "low-rank LoRA has more intruders than full tuning at every ε and k ≤ 10",
        "numbers": f"rank 1 against full tuning, pairs of ε and k with any: {words}",
        "verdict": ("cannot tell" if not some[leading].any() else "holds" if above[some & leading].mean() > 0.9 else
                    "does not hold" if below[leading].any() else "cannot tell")
        + ": at k = 10 the means are "
        + ", ".join(f"{low['mean'][e, 10]:.0f} / {full['mean'][e, 10]:.0f} (ε = {e:g})" for e in (0.3, 0.5, 0.7, 0.9))
        + "; at ε = 0.5 "
        + ", ".join(f"{' / '.join(values)} (k = {k})" for k, values in ends.items()),
    }  # fmt: skip
    keep(setting, "epsilon_and_k", dataclasses.replace(whole, table=picked), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
