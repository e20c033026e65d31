"""Does LoRA forget less than full tuning at the same accuracy?

Question: does LoRA of every rank forget less than full tuning that is as accurate?
Method: the runs of `rank_sweep`, every saved seed, at two rates that are both picked blind to forgetting: of each
method the largest rate as accurate as its best within a standard error, and the most accurate one. What is forgotten is
the rise of the loss on general text over the untouched base; what lies above the loss of a model that tells nothing
counts as that. The claim needs a fifth of what full tuning forgets. Beside it, how much less accurate LoRA is.
Verdicts, encoder and decoder: LoRA forgets less, at the largest rates: cannot tell, does not hold; LoRA forgets less,
at the most accurate rates: cannot tell, does not hold.

    python analyses/forgetting.py [--quick]
"""

from __future__ import annotations

import pandas as pd
from common import Setting, each_base, keep
from saved import Finding, Saved, by_seed, ceiling, label, words

from spectra.studies.verdicts import Verdict, difference, equality, together

RULES = {
    "largest": "LoRA forgets less, at the largest rates",
    "accurate": "LoRA forgets less, at the most accurate rates",
}
MARGIN = 0.03  # of accuracy: closer counts as equal


def measure(setting: Setting) -> None:
    """Train and measure."""
    keep(setting, "forgetting", setting.main_sweep())


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    claims, numbers = [], []
    for rule, claim in RULES.items():
        groups = saved.picked(rule)
        parts = less(ceiling(saved.runs()), groups)
        claims.append(together(claim, parts))
        gaps = [
            equality(label(rank), by_seed(g, "accuracy"), by_seed(groups[0.0], "accuracy"), margin=MARGIN, measure="{}")
            for rank, g in groups.items()
            if rank
        ]
        shown = {f"{label(rank)}, rate {g['learning_rate'].iloc[0]:g}": g for rank, g in groups.items()}
        numbers.append(
            f"{rule} rates: {words(shown, accuracy=3, forgetting=2)}; less than full tuning: "
            + ", ".join(f"{part.claim} {part.answer} ({part})" for part in parts)
            + f"; as accurate as full tuning within {MARGIN:g}: "
            + ", ".join(f"{gap.claim} {gap.answer} ({gap.effect:+.3f})" for gap in gaps)
        )
    return Finding("forgetting", claims, ". ".join(numbers))


def less(most: float, groups: dict[float, pd.DataFrame]) -> list[Verdict]:
    """Whether each rank forgets less than full tuning."""
    full = by_seed(groups[0.0], "forgetting")
    ranks = [rank for rank in groups if rank]
    return [
        difference(
            label(rank),
            full,
            by_seed(groups[rank], "forgetting"),
            claimed=max(0.0, 0.2 * full.clip(upper=most).mean()),
            measure="{} nats",
            ceiling=most,
            parts=len(ranks),
        )
        for rank in ranks
    ]


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
