"""Does the random seed matter to the number of intruders?

Question: beside method and rank, how much of the count is the seed's, that of the adapter's first values and the order?
Method: the settings picked in `rank_sweep`, five seeds each; the share of the variance of the count at ε = 0.8, k = 10,
that is between settings, estimated without the bias of η² (ω², one-way analysis of variance: Hays 1963).
Verdict: encoder: does not hold; decoder: holds. Numbers: results/seeds-*.json, and the table in the README.

    python analyses/seeds.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep
from curves import keep_counts

from spectra.studies.statistics import spread

SEEDS = [0, 1, 2, 3, 4]


def main(setting: Setting) -> None:
    """Of one base."""
    picked = setting.picked().assign(rank=lambda t: t["rank"].fillna(1.0))
    settings = picked[["method", "rank", "learning_rate"]].drop_duplicates()
    variants = [
        {"method": s.method, "rank": int(s.rank), "learning_rate": float(s.learning_rate)}
        for s in settings.itertuples()
    ]
    study = setting.sweep(variants, seed=setting.seeds if setting.quick else SEEDS)
    labels = ["full" if row.method == "full" else f"LoRA r = {row.rank:g}" for row in study.table.itertuples()]
    groups = dict(list(study.table.groupby(labels, sort=False)))
    keep_counts(setting, groups, "seeds")
    counts = study.table["num_intruders_0.8"]
    total = ((counts - counts.mean()) ** 2).sum()
    within = ((counts - counts.groupby(labels).transform("mean")) ** 2).sum()
    error = within / (len(counts) - len(groups))
    share = (total - within - (len(groups) - 1) * error) / (total + error) if total > 0 else float("nan")
    words = "; ".join(f"{name}: {spread(g['num_intruders_0.8'].tolist())}" for name, g in groups.items())
    finding = {
        "claim": "the random seed plays a negligible role in the number of intruders",
        "numbers": f"intruders at ε = 0.8 over {study.table['seed'].nunique()} seeds: {words}",
        "verdict": ("holds" if share >= 0.95 else "does not hold" if share < 0.5 else "cannot tell")
        + (
            f": {100 * share:.0f}% of the variance is between methods and ranks, the rest between seeds"
            if counts.any()
            else ": none was planted"
        ),
    }
    keep(setting, "seeds", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
