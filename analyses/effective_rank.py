"""Is the update of full tuning of higher effective rank than LoRA's?

Question: how many directions does an update use, and does LoRA of high rank use those it has?
Method: the picked runs of `rank_sweep`; effective rank of ΔW (Roy & Vetterli 2007), mean over matrices; three seeds.
Verdict: encoder: holds; decoder: holds. Numbers: results/effective_rank-*.json, and the table in the README.

    python analyses/effective_rank.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep

from spectra.studies.statistics import spread


def main(setting: Setting) -> None:
    """Of one base."""
    whole = setting.main_sweep()
    picked = setting.picked().assign(key=lambda t: t["rank"].fillna(0.0))
    groups = dict(list(picked.groupby("key")))
    full = groups.pop(0.0)["effective_rank"]
    words = "; ".join(
        f"r = {rank:g}: {spread(g['effective_rank'].tolist())} ({100 * g['effective_rank'].mean() / rank:.0f}% of r)"
        for rank, g in groups.items()
    )
    above = all(full.min() > g["effective_rank"].max() for g in groups.values())
    finding = {
        "claim": "full tuning's update has a higher effective rank than LoRA's, which stays below r",
        "numbers": f"full: {spread(full.tolist())}; {words}",
        "verdict": f"{'holds' if above else 'does not hold'}: full tuning is {'above' if above else 'not above'} "
        "LoRA of every rank in every seed",
    }
    keep(setting, "effective_rank", dataclasses.replace(whole, table=picked.drop(columns="key")), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
