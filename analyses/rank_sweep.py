"""Does low-rank LoRA plant intruders where full tuning plants almost none, and fewer as the rank grows?

Question: at α = 2r, does LoRA of rank 1 plant intruder dimensions where full tuning does not, and do they get fewer as
the rank grows?
Method: every method and rank at three learning rates; intruders at ε = 0.8, k = 10, all linear layers. Rank 1 is held
against full tuning at the rates picked blind to intruders (of each the largest as accurate as its best within a
standard error), over every saved seed; 5% of the vectors count as any. The trend over ranks is that of `alpha`, where
the product of α and the rate is the same, without runs that learned nothing: the picked rates grow with the rank,
which hides or makes a trend.
Verdicts, encoder and decoder: rank 1 plants more intruders than full tuning: does not hold, holds; fewer as the rank
grows, at equal α · rate: cannot tell, holds.

    python analyses/rank_sweep.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep
from saved import COUNT, Finding, Saved, by_seed, label, learned, left_out, many, words

from spectra.studies.verdicts import difference, trend


def measure(setting: Setting) -> None:
    """Train and count."""
    whole = setting.main_sweep()
    picked = whole.table["run"].isin(setting.picked()["run"])
    keep(setting, "rank_sweep", dataclasses.replace(whole, table=whole.table.assign(picked=picked)))


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    picked, whole = saved.picked(), saved.alpha_runs("2r")
    equal = learned(whole).set_index("run")
    more, fewer = "rank 1 plants more intruders than full tuning", "fewer as the rank grows, at equal α · rate"
    groups = {f"{label(rank)}, rate {g['learning_rate'].iloc[0]:g}": g for rank, g in picked.items()}
    numbers = words(groups, **{"accuracy": 3, "num_intruders_0.5": 1, COUNT: 1})
    return Finding(
        "rank_sweep",
        [
            difference(
                more,
                by_seed(picked[1.0], COUNT),
                by_seed(picked[0.0], COUNT),
                claimed=many(saved.runs()),
                measure="{} intruders",
            ),
            trend(fewer, equal["rank"], equal[COUNT], claimed=-0.5),
        ],
        f"intruders at the picked rates: {numbers}. At equal α · rate: "
        + words({label(rank): g for rank, g in whole.groupby("rank")}, **{COUNT: 1, "accuracy": 3})
        + left_out(whole),
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
