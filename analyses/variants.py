"""Do LoRA's variants plant as many intruders as LoRA?

Question: do rank-stabilised LoRA and DoRA plant as many intruders as LoRA, at the same rank and rate?
Method: LoRA and DoRA of rank 8 at LoRA's middle rate, and rsLoRA, whose scale is √r times as large, at that rate
divided by √8. Equal is a mean count within half of LoRA's. At ε = 0.5 all plant next to none, so that says nothing.
Verdicts, encoder and decoder: variants of LoRA plant as many intruders as LoRA: cannot tell, cannot tell.

    python analyses/variants.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep
from curves import keep_counts
from saved import COUNT, Finding, Saved, by_seed, words

from spectra.studies.verdicts import equality, together


def measure(setting: Setting) -> None:
    """Train and count."""
    rate = GRIDS[setting.kind]["lora", 8][1]
    variants = [{"method": m, "rank": 8, "learning_rate": rate} for m in ("lora", "dora")]
    variants.append({"method": "rslora", "rank": 8, "learning_rate": round(rate / 8**0.5, 7)})
    study = setting.sweep(variants)
    groups = {f"{m} at {r:g}": g for (m, r), g in study.table.groupby(["method", "learning_rate"], sort=False)}
    full = setting.picked().query("method == 'full'")
    keep_counts(setting, groups | {f"full at {full['learning_rate'].iloc[0]:g}": full}, "variants")
    keep(setting, "variants", study)


def decide(saved: Saved) -> Finding:
    """From the saved tables, LoRA's seeds of every study."""
    groups = dict(list(saved.table("variants").groupby("method", sort=False)))
    runs, rate = saved.main_runs(), groups["lora"]["learning_rate"].iloc[0]
    groups["lora"] = runs[(runs["rank"] == 8) & (runs["learning_rate"] == rate)]
    counts = by_seed(groups["lora"], COUNT)
    others = [method for method in groups if method != "lora"]
    parts = [
        equality(
            m, by_seed(groups[m], COUNT), counts, margin=counts.mean() / 2, measure="{} intruders", parts=len(others)
        )
        for m in others
    ]
    return Finding(
        "variants",
        [together("variants of LoRA plant as many intruders as LoRA", parts)],
        f"intruders: {words(groups, **{'accuracy': 3, 'num_intruders_0.5': 1, COUNT: 1})}; "
        + "; ".join(f"{part.claim} against LoRA: {part}" for part in parts),
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
