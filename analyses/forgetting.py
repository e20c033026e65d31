"""Does LoRA forget less than full tuning at the same accuracy?

Question: at each method's largest rate that is as accurate as its best, does LoRA of every rank forget less than full
tuning?
Method: the picked runs of `rank_sweep`; the rise of the loss on general text over the untouched base; three seeds. The
picked rates grow with the rank as α · rate does; `alpha` has forgetting with that kept.
Verdict: encoder: cannot tell; decoder: does not hold. Numbers: results/forgetting-*.json, and the table in the README.

    python analyses/forgetting.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, equally_accurate, keep

from spectra.studies.statistics import rank_correlation, spread


def main(setting: Setting) -> None:
    """Of one base."""
    whole = setting.main_sweep()
    picked = setting.picked()
    lora, full = picked[picked["method"] == "lora"], picked[picked["method"] == "full"]
    groups = {f"r = {rank:g}": group for rank, group in lora.groupby("rank")}
    words = "; ".join(
        f"{label} (accuracy {spread(g['accuracy'].tolist(), 3)}): {spread(g['forgetting'].tolist(), 2)}"
        for label, g in {**groups, "full": full}.items()
    )
    equal = [label for label, g in groups.items() if equally_accurate(g, full)]
    less = [label for label in equal if groups[label]["forgetting"].max() < full["forgetting"].min()]
    more = [label for label in equal if groups[label]["forgetting"].min() > full["forgetting"].max()]
    trend = rank_correlation(lora["rank"].tolist(), lora["forgetting"].tolist())
    finding = {
        "claim": "LoRA forgets less than full tuning at the same accuracy",
        "numbers": f"rise of the text's loss in nats: {words}; rank and forgetting {trend}",
        "verdict": ("holds" if len(less) == len(groups) else "does not hold" if more else "cannot tell")
        + f": as accurate as full tuning: {', '.join(equal) or 'none'}; of these less in every seed: "
        + f"{', '.join(less) or 'none'}; more in every seed: {', '.join(more) or 'none'}",
    }
    keep(setting, "forgetting", dataclasses.replace(whole, table=picked), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
