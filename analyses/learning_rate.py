"""Do intruders come with the learning rate?

Question: does a higher learning rate plant more intruders, for every method and rank?
Method: the main sweep, three rates a method and rank, three seeds, without runs that learned nothing; Spearman's ρ of
rate and count within each method and rank.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/learning_rate-*.json, and the table in the README.

    python analyses/learning_rate.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep

from spectra.studies.statistics import rank_correlation, spread


def main(setting: Setting) -> None:
    """Of one base."""
    study = setting.main_sweep()
    table, left_out = setting.learned(study.table.assign(key=study.table["rank"].fillna(0.0)))
    words, directions = [], []
    for key, group in table.groupby("key"):
        counts = "num_intruders_0.8"
        by_rate = ", ".join(f"{rate:g}: {spread(g[counts].tolist())}" for rate, g in group.groupby("learning_rate"))
        found = rank_correlation(group["learning_rate"].tolist(), group[counts].tolist())
        words.append(f"{f'r = {key:g}' if key else 'full'} ({by_rate}; {found})")
        directions.append(found.direction)
    rising = directions.count(1)
    verdict = {1: "holds", -1: "does not hold"}.get(min(directions), "cannot tell")
    finding = {
        "claim": "a higher learning rate plants more intruders",
        "numbers": f"intruders at ε = 0.8 by rate: {'; '.join(words)}{left_out}",
        "verdict": f"{verdict}: ρ is above zero (interval and p) for {rising} of {len(words)} methods and ranks",
    }
    keep(setting, "learning_rate", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
