"""Does the random seed matter to the number of intruders?

Question: how far does the count of one setting spread over seeds?
Method: the settings picked in `rank_sweep`, every saved seed; the standard deviation of the count at ε = 0.8, k = 10,
as a share of its mean, of each setting. Negligible is below a quarter, in every setting; a count of a few spreads by
more by chance alone (a share of 1/√mean where each is independent). The seed is that of the
adapter's first values and of the order, and of which examples are drawn: the spread is of all three.
Verdicts, encoder and decoder: the seed plays a negligible role in the number of intruders: does not hold, cannot tell.

    python analyses/seeds.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep
from curves import keep_counts
from saved import COUNT, Finding, Saved, by_seed, label

from spectra.studies.statistics import spread
from spectra.studies.verdicts import steadiness, together

SEEDS = [0, 1, 2, 3, 4]


def measure(setting: Setting) -> None:
    """Train and count."""
    picked = setting.picked().assign(rank=lambda t: t["rank"].fillna(1.0))
    settings = picked[["method", "rank", "learning_rate"]].drop_duplicates()
    variants = [
        {"method": s.method, "rank": int(s.rank), "learning_rate": float(s.learning_rate)}
        for s in settings.itertuples()
    ]
    study = setting.sweep(variants, seed=setting.seeds if setting.quick else SEEDS)
    labels = ["full" if row.method == "full" else f"LoRA r = {row.rank:g}" for row in study.table.itertuples()]
    keep_counts(setting, dict(list(study.table.groupby(labels, sort=False))), "seeds")
    keep(setting, "seeds", study)


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    groups = {label(rank): by_seed(g, COUNT) for rank, g in saved.picked().items()}
    parts = [steadiness(name, counts, claimed=0.25, parts=len(groups)) for name, counts in groups.items()]
    numbers = "; ".join(f"{p.claim}: {spread(groups[p.claim].tolist())} ({p})" for p in parts)
    claim = "the seed plays a negligible role in the number of intruders"
    return Finding("seeds", [together(claim, parts)], f"intruders at ε = 0.8 over seeds: {numbers}")


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
