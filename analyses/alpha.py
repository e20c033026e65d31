"""Does α = 2r keep intruders away from high ranks, and a fixed α not?

Question: at rank 64, does α = 8 plant more intruders than α = 2r?
Method: ranks 1, 8, 64 with α = 8 and with α = 2r, the product of α and the rate the same for all (the paper's rule:
a constant update scale per step); three seeds. What the count does over the ranks with α = 2r is in `rank_sweep`.
Verdicts, encoder and decoder: at rank 64 α = 8 plants more than α = 2r, at equal α · rate: does not hold, does not
hold.

    python analyses/alpha.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep
from curves import keep_counts
from saved import COUNT, Finding, Saved, by_seed, label, many, words

from spectra.studies.verdicts import difference


def measure(setting: Setting) -> None:
    """Train and count."""
    study = setting.alpha_sweep()
    labels = [f"r = {row.rank:g}, α = {row.rule}" for row in study.table.itertuples()]
    keep_counts(setting, dict(list(study.table.groupby(labels, sort=False))), "alpha")
    keep(setting, "alpha", study)


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    rules = {rule: saved.alpha_runs(rule) for rule in ("8", "2r")}
    highest = {rule: by_seed(runs[runs["rank"] == runs["rank"].max()], COUNT) for rule, runs in rules.items()}
    claim = "at rank 64 α = 8 plants more than α = 2r, at equal α · rate"
    groups = {f"{label(r)}, α = {rule}": g for rule, runs in rules.items() for r, g in runs.groupby("rank")}
    return Finding(
        "alpha",
        [difference(claim, highest["8"], highest["2r"], claimed=many(saved.runs()), measure="{} intruders")],
        f"intruders: {words(groups, **{COUNT: 1, 'accuracy': 2, 'forgetting': 2})}",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
