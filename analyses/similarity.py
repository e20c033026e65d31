"""How do leading singular vectors look before and after, under full tuning and LoRA?

Question: does the similarity matrix of full tuning stay near the diagonal where LoRA's has columns that are close to
no single vector of the base? And what does one such column look like beside one that is close to one?
Method: seed 0 of the picked runs of `rank_sweep`; the matrix worst off under LoRA of rank 1 (ε = 0.5), ε = 0.8; of
LoRA's ten leading vectors the least and the best matched one, against all of the base's.
Verdict: the figures, figures/similarity*.svg and intruder_profile.svg; the counts are those of `rank_sweep`.

    python analyses/similarity.py [--quick]
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd
from common import Setting, each_base, portable

import spectra

LEADING = 40


def main(setting: Setting) -> None:
    """Of one base."""
    runs = setting.picked().query("seed == 0").set_index(["method", "rank"])["run"]
    paths = {"lora-r1": setting.run_path(runs["lora", 1.0]), "full": setting.run_path(runs["full"].iloc[0])}
    base = setting.fields["base"]
    options: dict[str, Any] = {"epsilon": 0.8, "method": "exact"}
    worst = spectra.compare(base, paths["lora-r1"], method="exact").worst_first().iloc[0]["name"]
    options["include"] = f"^{re.escape(worst)}$"
    for kind, path in paths.items():
        result = spectra.compare(base, path, k=LEADING, **options)
        names = {"base": setting.name, "tuned": kind, "provenance": portable(result.provenance)}
        dataclasses.replace(result, **names).write(setting.results() / f"similarity-{setting.name}-{kind}.json")
        print(f"similarity, {setting.name}, {kind}: {result.summary()}")
    row = spectra.compare(base, paths["lora-r1"], k=2**30, **options).matrices.iloc[0]
    best = np.array(row["max_cosine"][:10])
    columns = {"least matched": int(best.argmin()), "best matched": int(best.argmax())}
    profile = pd.concat(
        pd.DataFrame({"vector": words, "place": at + 1, "base_place": range(1, len(row["cosines"]) + 1)}).assign(
            cosine=np.array(row["cosines"])[:, at]
        )
        for words, at in columns.items()
    )
    study = spectra.Study("vectors", profile, {"matrix": worst})
    study.write(setting.results() / f"intruder_profile-{setting.name}.parquet")


if __name__ == "__main__":
    each_base(main, __doc__)
