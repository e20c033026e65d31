"""Does freezing an orthonormal A keep intruders away?

Question: does training B alone, with A orthonormal and frozen, plant fewer intruders (by half) at equal accuracy?
Method: LoRA of rank 8 and the same with A frozen, each at three rates (an orthonormal row is longer than one of peft's
random ones, so the rates are its own), every saved seed; of each the largest rate as accurate as its best.
Verdicts, encoder and decoder: a frozen orthonormal A plants fewer intruders (by half): cannot tell, does not hold.

    python analyses/frozen_a.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep
from curves import keep_counts
from saved import COUNT, Finding, Saved, by_seed, picked_rate, words

from spectra.studies.verdicts import difference, equality


def measure(setting: Setting) -> None:
    """Train and count."""
    rates = GRIDS[setting.kind]["lora", 8]
    study = setting.sweep([{"method": m, "rank": 8, "learning_rate": rates} for m in ("lora", "lora-fa")])
    chosen = {m: picked_rate(group) for m, group in study.table.groupby("method")}
    keep_counts(setting, {f"{m} at {g['learning_rate'].iloc[0]:g}": g for m, g in chosen.items()}, "frozen_a")
    keep(setting, "frozen_a", study)


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    table = saved.table("frozen_a")
    frozen = picked_rate(table[table["method"] == "lora-fa"])
    trained = saved.picked()[8.0]
    counts = by_seed(trained, COUNT)
    claim = "a frozen orthonormal A plants fewer intruders (by half)"
    gap = equality("", by_seed(frozen, "accuracy"), by_seed(trained, "accuracy"), margin=0.03, measure="{} of accuracy")
    groups = {"A trained": trained, "A frozen": frozen}
    same = {f"{rate:g}, {m}": g for (rate, m), g in table.groupby(["learning_rate", "method"])}
    return Finding(
        "frozen_a",
        [difference(claim, counts, by_seed(frozen, COUNT), claimed=counts.mean() / 2, measure="{} intruders")],
        f"at the picked rates: {words(groups, **{'accuracy': 3, 'num_intruders_0.5': 1, COUNT: 1})}; equal accuracy "
        f"(within 0.03) {gap.answer}: {gap}. By rate: {words(same, **{COUNT: 1})}",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
