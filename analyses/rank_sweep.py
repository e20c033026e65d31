"""Do fewer intruders come with a higher rank, and none with full tuning?

Question: at α = 2r, does low-rank LoRA plant intruder dimensions, fewer as the rank grows, and full tuning almost none?
Method: every method and rank at three learning rates, three seeds; of each the largest rate that is as accurate as its
best within one standard error, picked blind to intruders; intruders at ε = 0.5 and 0.8, k = 10, all linear layers.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/rank_sweep-*.json, and the table in the README.

    python analyses/rank_sweep.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep

from spectra.studies.statistics import rank_correlation, spread


def main(setting: Setting) -> None:
    """Of one base."""
    whole = setting.main_sweep()
    picked = setting.picked()
    lora, full = picked[picked["method"] == "lora"], picked[picked["method"] == "full"]
    trend = rank_correlation(lora["rank"].tolist(), lora["num_intruders_0.8"].tolist())
    groups = {**{f"r = {rank:g}": group for rank, group in lora.groupby("rank")}, "full": full}
    counts = "; ".join(
        f"{label} (rate {g['learning_rate'].iloc[0]:g}, accuracy {spread(g['accuracy'].tolist(), 3)}): "
        f"{spread(g['num_intruders_0.5'].tolist())} / {spread(g['num_intruders_0.8'].tolist())}, "
        f"forgetting {spread(g['forgetting'].tolist(), 2)} nats"
        for label, g in groups.items()
    )
    lowest = lora[lora["rank"] == lora["rank"].min()]
    none = full["num_intruders_0.8"].max() < 0.05 * full["num_vectors"].max()
    more = none and lowest["num_intruders_0.8"].min() > full["num_intruders_0.8"].max()
    falls = trend.direction < 0
    planted = picked["num_intruders_0.8"].max() > 0
    verdict = "holds" if more and falls else "does not hold" if planted and not (more or falls) else "cannot tell"
    verdict += f": full tuning {'stays' if none else 'does not stay'} below 5% of the vectors and rank 1 is "
    verdict += f"{'above' if more else 'not above'} it in every seed; rank and count {trend}"
    claim = "low-rank LoRA plants intruders, fewer as r grows (α = 2r), full tuning almost none"
    result = dataclasses.replace(whole, table=whole.table.assign(picked=whole.table["run"].isin(picked["run"])))
    keep(
        setting,
        "rank_sweep",
        result,
        {"claim": claim, "numbers": f"intruders at ε = 0.5 / 0.8: {counts}", "verdict": verdict},
    )


if __name__ == "__main__":
    each_base(main, __doc__)
