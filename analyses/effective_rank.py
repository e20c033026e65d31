"""Does a fixed α leave much of a high rank unused?

Question: at rank 64, has the update of a lower effective rank with α = 8 than with α = 2r?
Method: LoRA's runs of `alpha`, the product of α and the rate the same for all; effective rank of ΔW (Roy & Vetterli
2007), mean over matrices; three seeds. A tenth of the rank counts. Full tuning's effective rank stands beside it, and
is no test: LoRA's is at most its rank, by algebra.
Verdicts, encoder and decoder: at rank 64 α = 8 leaves more of the rank unused than α = 2r: holds, holds.

    python analyses/effective_rank.py [--quick]
"""

from __future__ import annotations

import dataclasses

import pandas as pd
from common import Setting, each_base, keep
from saved import Finding, Saved, by_seed, label, words

from spectra.studies.verdicts import difference


def measure(setting: Setting) -> None:
    """Train and measure."""
    tuned = setting.picked().query("method == 'full'").assign(rule="full tuning")
    whole = setting.alpha_sweep()
    keep(
        setting, "effective_rank", dataclasses.replace(whole, table=pd.concat([whole.table, tuned], ignore_index=True))
    )


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    rules = {rule: saved.alpha_runs(rule) for rule in ("8", "2r")}
    highest = {rule: by_seed(runs[runs["rank"] == 64], "effective_rank") for rule, runs in rules.items()}
    claim = "at rank 64 α = 8 leaves more of the rank unused than α = 2r"
    groups = {f"{label(r)}, α = {rule}": g for rule, runs in rules.items() for r, g in runs.groupby("rank")}
    return Finding(
        "effective_rank",
        [difference(claim, highest["2r"], highest["8"], claimed=6.4, measure="{} in effective rank")],
        f"effective rank: {words({'full': saved.picked()[0.0], **groups}, effective_rank=1)}",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
