"""Do LoRA's variants plant intruders too?

Question: are rank-stabilised LoRA and DoRA as LoRA is, at the same rank and rate; do all plant more than full tuning?
Method: LoRA and DoRA of rank 8 at LoRA's middle rate, and rsLoRA, whose scale is √r times as large, at that rate
divided by √8; three seeds.
Verdict: encoder: holds; decoder: holds. Numbers: results/variants-*.json, and the table in the README.

    python analyses/variants.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep
from curves import keep_counts

from spectra.studies.statistics import spread


def main(setting: Setting) -> None:
    """Of one base."""
    rate = GRIDS[setting.kind]["lora", 8][1]
    variants = [{"method": m, "rank": 8, "learning_rate": rate} for m in ("lora", "dora")]
    variants.append({"method": "rslora", "rank": 8, "learning_rate": round(rate / 8**0.5, 7)})
    study = setting.sweep(variants)
    groups = {f"{m} at {r:g}": g for (m, r), g in study.table.groupby(["method", "learning_rate"], sort=False)}
    full = setting.picked().query("method == 'full'")
    keep_counts(setting, groups | {f"full at {full['learning_rate'].iloc[0]:g}": full}, "variants")
    words = "; ".join(
        f"{name} (accuracy {spread(g['accuracy'].tolist(), 3)}): {spread(g['num_intruders_0.5'].tolist())} / "
        f"{spread(g['num_intruders_0.8'].tolist())}"
        for name, g in groups.items()
    )
    most = full["num_intruders_0.8"].max()
    planted = [name for name, g in groups.items() if g["num_intruders_0.8"].min() > most]
    first = list(groups)[:1]  # LoRA itself
    finding = {
        "claim": "variants of LoRA plant intruders as LoRA does",
        "numbers": f"intruders at ε = 0.5 / 0.8: {words}",
        "verdict": ("holds" if planted == list(groups) else "does not hold" if planted == first else "cannot tell")
        + f": {len(planted)} of {len(groups)} plant more at ε = 0.8 in every seed than full tuning in any ({most})",
    }
    keep(setting, "variants", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
