"""How do the leading singular vectors look after each of six tasks in a row?

Question: does LoRA add columns that are close to no single vector of the base with every task, and full tuning none?
Method: seed 0 of the runs of `continual`, full tuning and LoRA of rank 8; the matrix in which LoRA has most intruders
after the last task, against the original base after each.
Verdict: the figure, figures/continual_similarity.svg; the counts are those of `continual`.

    python analyses/continual_similarity.py [--quick]
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from common import Setting, each_base
from six_tasks import stages

import spectra

RUNS = ("full", "LoRA r = 8")


def main(setting: Setting) -> None:
    """Of one base."""
    base = setting.fields["base"]
    models = {label: sorted(stages(setting, "continual", label, 0).glob("stage-*/model")) for label in RUNS}
    if not all(models.values()):
        print(f"continual_similarity, {setting.name}: no stages; run analyses/continual.py first")
        return
    options: dict[str, Any] = {"epsilon": 0.8, "method": "exact"}
    worst = spectra.compare(base, models[RUNS[1]][-1], **options).worst_first().iloc[0]["name"]
    options["include"] = f"^{re.escape(worst)}$"
    rows = []
    for label, paths in models.items():
        for path, result in zip(paths, spectra.compare(base, paths, **options), strict=True):
            _, stage, task = path.parent.name.split("-", 2)
            row = result.matrices.iloc[0]
            for (i, j), cosine in np.ndenumerate(np.array(row["cosines"])):
                place = {"run": label, "stage": int(stage), "task": task, "i": i + 1, "j": j + 1}
                rows.append({**place, "cosine": cosine, "max_cosine": row["max_cosine"][j]})
    study = spectra.Study("vectors", pd.DataFrame(rows), {"matrix": worst, "epsilon": 0.8, "seed": 0})
    study.write(setting.results() / f"continual_similarity-{setting.name}.parquet")
    print(f"continual_similarity, {setting.name}: {worst}, {len(models[RUNS[1]])} stages")


if __name__ == "__main__":
    each_base(main, __doc__)
