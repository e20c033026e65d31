"""Do intruders come with the learning rate?

Question: does a higher learning rate plant more intruders, for every method and rank?
Method: the main sweep, three rates a method and rank, three seeds; Spearman's ρ of rate and count within each method
and rank, without runs that learned nothing.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/learning_rate-*.json, and the table in the README.

    python analyses/learning_rate.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep

from spectra.studies.statistics import rank_correlation, spread


def main(setting: Setting) -> None:
    """Of one base."""
    study = setting.main_sweep()
    words, directions = [], []
    for key, group in study.table.groupby(study.table["rank"].fillna(0.0)):
        counts = "num_intruders_0.8"
        by_rate = ", ".join(f"{rate:g}: {spread(g[counts].tolist())}" for rate, g in group.groupby("learning_rate"))
        known, left_out = setting.learned(group)
        found = rank_correlation(known["learning_rate"].tolist(), known[counts].tolist())
        words.append(f"{f'r = {key:g}' if key else 'full'} ({by_rate}; {found}{left_out})")
        directions.append(found.direction)
    rising = directions.count(1)
    verdict = {1: "holds", -1: "does not hold"}.get(min(directions), "cannot tell")
    finding = {
        "claim": "a higher learning rate plants more intruders",
        "numbers": f"intruders at ε = 0.8 by rate: {'; '.join(words)}",
        "verdict": f"{verdict}: ρ is above zero (p < 0.05) for {rising} of {len(words)} methods and ranks",
    }
    keep(setting, "learning_rate", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
