"""How do leading singular vectors look before and after, under full tuning and LoRA?

Question: does the similarity matrix of full tuning stay near the diagonal where LoRA's has columns that match nothing?
Method: seed 0 of the picked runs of `rank_sweep`; the matrix with most intruders under LoRA of rank 1, under both.
Verdict: the figure, figures/similarity.svg; the counts are those of `rank_sweep`.

    python analyses/similarity.py [--quick]
"""

from __future__ import annotations

import dataclasses
import re

from common import Setting, each_base, portable

import spectra


def main(setting: Setting) -> None:
    """Of one base."""
    runs = setting.picked().query("seed == 0").set_index(["method", "rank"])["run"]
    paths = {"lora-r1": setting.run_path(runs["lora", 1.0]), "full": setting.run_path(runs["full"].iloc[0])}
    base = setting.fields["base"]
    worst = spectra.compare(base, paths["lora-r1"], method="exact").worst_first().iloc[0]["name"]
    folder = setting.results()
    for kind, path in paths.items():
        result = spectra.compare(base, path, include=f"^{re.escape(worst)}$", method="exact")
        names = {"base": setting.name, "tuned": kind, "provenance": portable(result.provenance)}
        dataclasses.replace(result, **names).write(folder / f"similarity-{setting.name}-{kind}.json")
        print(f"similarity, {setting.name}, {kind}: {result.summary()}")


if __name__ == "__main__":
    each_base(main, __doc__)
