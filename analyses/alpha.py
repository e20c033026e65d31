"""Does α = 2r keep intruders away from high ranks, and a fixed α not?

Question: with α = 8 at every rank, are there many intruders at every rank, where α = 2r has fewer as r grows?
Method: ranks 1, 8, 64 with α = 8 and with α = 2r, the product of α and the rate the same for all (the paper's rule:
a constant update scale per step); three seeds; the trends without runs that learned nothing.
Verdict: encoder: does not hold; decoder: does not hold. Numbers: results/alpha-*.json, and the table in the README.

    python analyses/alpha.py [--quick]
"""

from __future__ import annotations

from common import ALPHA_TIMES_RATE, Setting, each_base, keep
from curves import keep_counts

from spectra.studies.statistics import rank_correlation, spread


def main(setting: Setting) -> None:
    """Of one base."""
    study = setting.alpha_sweep()
    table = study.table
    labels = [f"r = {row.rank:g}, α = {row.rule}" for row in table.itertuples()]
    keep_counts(setting, dict(list(table.groupby(labels, sort=False))), "alpha")
    words, trends = [], {}
    for rule, group in table.groupby("rule"):
        counts = "num_intruders_0.8"
        by_rank = ", ".join(
            f"r = {rank:g}: {spread(g[counts].tolist())} (accuracy {g['accuracy'].mean():.2f}, forgetting "
            f"{g['forgetting'].mean():.2f} nats)"
            for rank, g in group.groupby("rank")
        )
        known, left_out = setting.learned(group)
        trends[rule] = rank_correlation(known["rank"].tolist(), known[counts].tolist())
        words.append(f"α = {rule}: {by_rank} ({trends[rule]}{left_out})")
    falls = trends["2r"].direction < 0
    fixed = table[table["rule"] == "8"].groupby("rank")["num_intruders_0.8"].agg(["mean", "max"])
    some = 0.05 * table["num_vectors"].max()  # of all examined vectors
    least = fixed["mean"].min()
    many = least > some
    few = trends["8"].direction < 0 and fixed["max"].iloc[-1] < some
    verdict = "holds" if falls and many else "does not hold" if few or trends["2r"].direction > 0 else "cannot tell"
    finding = {
        "claim": "with α = 8 many intruders at every rank, with α = 2r fewer as r grows",
        "numbers": f"intruders at ε = 0.8, α · rate = {ALPHA_TIMES_RATE[setting.kind]:g}: {'; '.join(words)}",
        "verdict": f"{verdict}: with α = 2r the count {'falls' if falls else 'is not shown to fall'} with rank; "
        f"α = 8 has {'more' if many else 'not more'} than 5% of vectors at every rank (least {least:.1f})",
    }
    keep(setting, "alpha", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
