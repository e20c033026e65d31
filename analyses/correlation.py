"""Do intruders and forgetting rise together?

Question: over all runs, does forgetting go with the number of intruders; and beyond the size of the update?
Method: the main sweep, without runs that learned nothing; Spearman's ρ of count and forgetting with bootstrap interval,
over the means of each method, rank and rate (its seeds are no independent witnesses), over all, within LoRA, and
partially, with ‖ΔW‖/‖W0‖ held fixed; the size itself as the rival explanation.
Verdict: encoder: cannot tell; decoder: cannot tell. Numbers: results/correlation-*.json, and the table in the README.

    python analyses/correlation.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep

from spectra.studies.columns import setting_means
from spectra.studies.statistics import rank_correlation


def main(setting: Setting) -> None:
    """Of one base."""
    study = setting.main_sweep()
    runs, left_out = setting.learned(study.table)
    table = setting_means(runs)
    counts = "num_intruders_0.8"
    lora = table[table["method"] == "lora"]
    over_all, within = (rank_correlation(t[counts].tolist(), t["forgetting"].tolist()) for t in (table, lora))
    sizes = lora["relative_delta"].tolist()
    size = rank_correlation(sizes, lora["forgetting"].tolist())
    beyond = rank_correlation(lora[counts].tolist(), lora["forgetting"].tolist(), given=sizes)
    finding = {
        "claim": "the number of intruders and forgetting rise together",
        "numbers": f"means over seeds, all settings: {over_all}; LoRA only: {within}; the update's size and "
        f"forgetting, LoRA: {size}; count and forgetting at equal size, LoRA: {beyond}{left_out}",
        "verdict": {1: "holds", 0: "cannot tell", -1: "does not hold"}[over_all.direction]
        + ": over all settings; within LoRA "
        + {1: "they rise together", 0: "it cannot be told", -1: "they do not"}[within.direction]
        + ("; also beyond the size of the update" if beyond.direction > 0 else "; not shown beyond its size"),
    }
    keep(setting, "correlation", dataclasses.replace(study, table=runs), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
