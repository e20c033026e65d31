"""Does forgetting grow with the intruders as training goes on?

Question: along runs and over learning rates, do the number of intruders and forgetting rise together; and beyond the
size of the update?
Method: LoRA of rank 8 at three rates and full tuning at its middle one, four checkpoints along each run, three seeds.
Spearman's ρ over all of LoRA's checkpoints, of each seed by itself, without runs that learned nothing: checkpoints of a
run follow one another, so a seed is one number. Of count and forgetting also partially, with ‖ΔW‖/‖W0‖ held fixed.
Whether accuracy does not go with the count cannot be asked: in 120 steps from chance it rises along every run.
Verdicts, encoder and decoder: along training, intruders and forgetting rise together: cannot tell, holds; along
training, they do at equal size of the update: cannot tell, cannot tell.

    python analyses/along_training.py [--quick]
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from common import GRIDS, Setting, each_base, keep
from curves import along
from saved import COUNT, Finding, Saved, ceiling, learned, left_out

import spectra
from spectra.studies.statistics import rank_correlation, spread
from spectra.studies.verdicts import Verdict, mean


def measure(setting: Setting) -> None:
    """Train and measure."""
    grid = GRIDS[setting.kind]
    rows = along(setting, "full", 0, grid["full", 0][1], forgetting=True)
    for rate in grid["lora", 8]:
        rows += along(setting, "lora", 8, rate, forgetting=True)
    table = pd.DataFrame(rows)
    table["run"] = [
        f"{'full' if row.method == 'full' else 'LoRA r = 8'}, rate {row.learning_rate:g}" for row in table.itertuples()
    ]
    keep(setting, "along_training", spectra.Study("dynamics", table, {"base": setting.fields["base"]}))


def over_checkpoints(table: pd.DataFrame, y: str, given: str | None = None) -> pd.Series:
    """ρ of count and `y` over the checkpoints of each seed."""
    found = {
        seed: rank_correlation(g[COUNT].tolist(), g[y].tolist(), given=g[given].tolist() if given else None).rho
        for seed, g in table.groupby("seed")
    }
    return pd.Series(found, dtype=float)


def mean_rho(claim: str, rhos: pd.Series) -> Verdict:
    """Whether the mean ρ of the seeds is above zero, by its z transform."""
    found = mean(claim, np.arctanh(rhos), claimed=math.atanh(0.5), measure="ρ = {}")
    ends = {name: math.tanh(getattr(found, name)) for name in ("effect", "low", "high", "claimed")}
    return dataclasses.replace(found, **ends)


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    table = saved.table("along_training")
    table = table.assign(forgetting=table["forgetting"].clip(upper=ceiling(table)))
    last = table[(table["method"] == "lora") & (table["step"] == table["step"].max())]
    lora = table.merge(learned(last)[["run", "seed"]])
    together, beyond = over_checkpoints(lora, "forgetting"), over_checkpoints(lora, "forgetting", "relative_delta")
    means = table.groupby(["run", "step"], sort=False)[[COUNT, "forgetting", "accuracy"]].mean()
    ends = "; ".join(
        f"{label}: {group[COUNT].iloc[0]:.1f} to {group[COUNT].iloc[-1]:.1f} intruders, forgetting "
        f"{group['forgetting'].iloc[0]:.2f} to {group['forgetting'].iloc[-1]:.2f} nats, accuracy "
        f"{group['accuracy'].iloc[0]:.3f} to {group['accuracy'].iloc[-1]:.3f}"
        for label, group in means.groupby(level="run", sort=False)
    )
    return Finding(
        "along_training",
        [
            mean_rho("along training, intruders and forgetting rise together", together),
            mean_rho("along training, they do at equal size of the update", beyond),
        ],
        f"from the first quarter to the end: {ends}; count and accuracy, ρ by seed: "
        f"{spread(over_checkpoints(lora, 'accuracy').tolist(), 2)}{left_out(last)}",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
