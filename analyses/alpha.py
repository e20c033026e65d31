"""Does α = 2r keep intruders away from high ranks, and a fixed α not?

Question: with α = 8 at every rank, are there many intruders at every rank, where α = 2r has fewer as r grows?
Method: ranks 1, 8, 64 with α = 8 and with α = 2r, the product of α and the rate the same for all (the paper's rule:
a constant update scale per step); three seeds. As a control, α = 8 at the three products that the main sweep gives each
rank, and of both rules the largest rate as accurate as its best: what is left once each has the rate that suits it.
Verdict: not run to the end yet; printed, and in results/alpha-*.json.

    python analyses/alpha.py [--quick]
"""

from __future__ import annotations

import dataclasses

import pandas as pd
from common import GRIDS, keep, picked_rate, settings

from spectra.studies.statistics import rank_correlation, spread

RANKS = (1, 8, 64)
ALPHA_TIMES_RATE = {"encoder": 0.032, "decoder": 0.016}  # that of the middle rate of rank 8 in the main sweep
COUNTS = "num_intruders_0.8"


def variants(rank: int, alpha: int, products: list[float]) -> dict[str, object]:
    """One rank with one α at rates that make these products."""
    rates = [round(product / alpha, 9) for product in products]
    return {"method": "lora", "rank": rank, "alpha": float(alpha), "learning_rate": rates}


def by_rank(table: pd.DataFrame) -> str:
    """Counts of each rule and rank, in words."""
    return "; ".join(
        f"α = {rule}: "
        + ", ".join(
            f"r = {rank:g}: {spread(g[COUNTS].tolist())} (accuracy {g['accuracy'].mean():.2f})"
            for rank, g in group.groupby("rank")
        )
        for rule, group in table.groupby("rule", sort=False)
    )


def main() -> None:
    """Each base in turn."""
    for setting in settings(__doc__):
        product = ALPHA_TIMES_RATE[setting.kind]
        grid = [variants(r, alpha, [product]) for r in RANKS for alpha in (2 * r, 8)]
        study = setting.sweep(grid)
        own = {r: [2 * r * rate for rate in GRIDS[setting.kind]["lora", r]] for r in RANKS}
        control = setting.sweep([variants(r, 8, own[r]) for r in RANKS]).table
        fixed_alpha = pd.concat([picked_rate(group) for _, group in control.groupby("rank")])
        parts = [
            study.table.assign(rates="one product", rule=["8" if a == 8 else "2r" for a in study.table["alpha"]]),
            setting.picked().query("method == 'lora'").assign(rates="picked", rule="2r"),
            fixed_alpha.assign(rates="picked", rule="8"),
        ]
        table = pd.concat(parts, ignore_index=True)
        one, picked = (table[table["rates"] == rates] for rates in ("one product", "picked"))
        trend, trend_picked = (
            rank_correlation(t["rank"].tolist(), t[COUNTS].tolist())
            for t in (t[t["rule"] == "2r"] for t in (one, picked))
        )
        falls = trend.direction < 0
        fixed = one[one["rule"] == "8"].groupby("rank")[COUNTS].mean()
        many = fixed.min() > 0.05 * table["num_vectors"].max()  # of all examined vectors, at every rank
        verdict = "holds" if falls and many else "cannot tell" if falls or many else "does not hold"
        finding = {
            "claim": "with α = 8 many intruders at every rank, with α = 2r fewer as r grows",
            "numbers": f"intruders at ε = 0.8, α · rate = {product:g}: {by_rank(one)} (rank and count at 2r, {trend}); "
            f"at the picked rates: {by_rank(picked)} (at 2r, {trend_picked})",
            "verdict": f"{verdict}: with α = 2r the count {'falls' if falls else 'does not fall'} with the rank; with "
            f"α = 8 it is {'above' if many else 'not above'} 5% of the vectors at every rank (least {fixed.min():.1f})",
        }
        keep(setting, "alpha", dataclasses.replace(study, table=table), finding)


if __name__ == "__main__":
    main()
