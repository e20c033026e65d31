"""Does freezing an orthonormal A keep intruders away?

Question: does training B alone, with A orthonormal and frozen, plant sharply fewer intruders at equal accuracy?
Method: LoRA of rank 8 and the same with A frozen, each at three rates (an orthonormal row is longer than one of peft's
random ones, so the rates are its own), three seeds; of each the largest rate as accurate as its best.
Verdict: encoder: cannot tell; decoder: does not hold. Numbers: results/frozen_a-*.json, and the table in the README.

    python analyses/frozen_a.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, equally_accurate, keep, picked_rate
from curves import keep_counts

from spectra.studies.statistics import spread


def main(setting: Setting) -> None:
    """Of one base."""
    rates = GRIDS[setting.kind]["lora", 8]
    study = setting.sweep([{"method": m, "rank": 8, "learning_rate": rates} for m in ("lora", "lora-fa")])
    chosen = {m: picked_rate(group) for m, group in study.table.groupby("method")}
    keep_counts(setting, {f"{m} at {g['learning_rate'].iloc[0]:g}": g for m, g in chosen.items()}, "frozen_a")
    counts = {m: group["num_intruders_0.8"] for m, group in chosen.items()}
    words = "; ".join(
        f"{m} at {g['learning_rate'].iloc[0]:g} (accuracy {spread(g['accuracy'].tolist(), 3)}): "
        f"{spread(g['num_intruders_0.5'].tolist())} / {spread(g['num_intruders_0.8'].tolist())}"
        for m, g in chosen.items()
    )
    same_rate = "; ".join(
        f"{rate:g}: {spread(g[g['method'] == 'lora']['num_intruders_0.8'].tolist())} and "
        f"{spread(g[g['method'] == 'lora-fa']['num_intruders_0.8'].tolist())}"
        for rate, g in study.table.groupby("learning_rate")
    )
    fewer = counts["lora-fa"].max() < counts["lora"].min() and counts["lora-fa"].mean() <= counts["lora"].mean() / 2
    more = counts["lora-fa"].min() > counts["lora"].max()
    gap = chosen["lora-fa"]["accuracy"].mean() - chosen["lora"]["accuracy"].mean()
    equal = equally_accurate(chosen["lora-fa"], chosen["lora"])
    finding = {
        "claim": "a frozen orthonormal A plants sharply fewer intruders (half or less) at equal accuracy",
        "numbers": f"intruders at ε = 0.5 / 0.8: {words}; at the same rates, ε = 0.8: {same_rate}",
        "verdict": ("holds" if fewer and equal else "does not hold" if more else "cannot tell")
        + f": half as many and fewer in every seed: {'yes' if fewer else 'no'}; accuracy {gap:+.3f} with A frozen",
    }
    keep(setting, "frozen_a", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
