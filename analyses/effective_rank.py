"""Is the update of full tuning of higher effective rank than LoRA's, and does it hang on α?

Question: how many directions does an update use, and does LoRA of high rank use those it has, also with α = 8?
Method: LoRA's runs of `alpha`, the product of α and the rate the same for all, and full tuning's picked ones of
`rank_sweep`; effective rank of ΔW (Roy & Vetterli 2007), mean over matrices; three seeds.
Verdict: encoder: holds; decoder: holds. Numbers: results/effective_rank-*.json, and the table in the README.

    python analyses/effective_rank.py [--quick]
"""

from __future__ import annotations

import dataclasses

import pandas as pd
from common import Setting, each_base, keep

from spectra.studies.statistics import spread


def main(setting: Setting) -> None:
    """Of one base."""
    tuned = setting.picked().query("method == 'full'").assign(rule="full tuning")
    full = tuned["effective_rank"]
    whole = setting.alpha_sweep()
    lora = whole.table
    groups = dict(list(lora.groupby(["rule", "rank"], sort=False)["effective_rank"]))
    words = "; ".join(
        f"r = {rank:g}, α = {rule}: {spread(values.tolist())} ({100 * values.mean() / rank:.0f}% of r)"
        for (rule, rank), values in groups.items()
    )
    above = all(full.min() > values.max() for values in groups.values())
    lower = groups["8", 64].max() < groups["2r", 64].min()
    finding = {
        "claim": "full tuning's update has a higher effective rank than LoRA's, and α = 8 lowers LoRA's at r = 64",
        "numbers": f"full: {spread(full.tolist())}; {words}",
        "verdict": ("holds" if above and lower else "cannot tell" if above else "does not hold")
        + f": full tuning is {'above' if above else 'not above'} "
        f"LoRA of every rank in every seed; at r = 64 α = 8 is {'below' if lower else 'not below'} α = 2r in each",
    }
    table = pd.concat([lora, tuned], ignore_index=True)
    keep(setting, "effective_rank", dataclasses.replace(whole, table=table), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
