"""Does forgetting grow with the intruders as training goes on?

Question: along runs and over learning rates, do the number of intruders and forgetting rise together, while accuracy
does not go with them?
Method: LoRA of rank 8 at three rates and full tuning at its middle one, four checkpoints along each run, three seeds;
Spearman's ρ with bootstrap interval over the means of each run, rate and step (its seeds are no independent witnesses),
of LoRA's checkpoints; and of count and forgetting partially, with ‖ΔW‖/‖W0‖ held fixed.
Verdict: encoder: holds; decoder: holds. Numbers: results/along_training-*.json, and the table in the README.

    python analyses/along_training.py [--quick]
"""

from __future__ import annotations

import pandas as pd
from common import GRIDS, Setting, each_base, keep
from correlation import partial
from curves import along

import spectra
from spectra.studies.statistics import rank_correlation

WORDS = {1: "rise together", 0: "are not shown to rise together", -1: "go apart"}


def main(setting: Setting) -> None:
    """Of one base."""
    grid = GRIDS[setting.kind]
    rows = along(setting, "full", 0, grid["full", 0][1], forgetting=True)
    for rate in grid["lora", 8]:
        rows += along(setting, "lora", 8, rate, forgetting=True)
    table = pd.DataFrame(rows)
    table["run"] = [
        f"{'full' if row.method == 'full' else 'LoRA r = 8'}, rate {row.learning_rate:g}" for row in table.itertuples()
    ]
    counts = "num_intruders_0.8"
    means = table.groupby(["run", "method", "step"], sort=False)[
        [counts, "forgetting", "accuracy", "relative_delta"]
    ].mean()
    lora = means.xs("lora", level="method")
    forgets, learns = (rank_correlation(lora[counts].tolist(), lora[y].tolist()) for y in ("forgetting", "accuracy"))
    beyond = partial(lora, counts, "forgetting", "relative_delta")
    ends = "; ".join(
        f"{label}: {group[counts].iloc[0]:.1f} to {group[counts].iloc[-1]:.1f} intruders, forgetting "
        f"{group['forgetting'].iloc[0]:.2f} to {group['forgetting'].iloc[-1]:.2f} nats, accuracy "
        f"{group['accuracy'].iloc[0]:.3f} to {group['accuracy'].iloc[-1]:.3f}"
        for label, group in means.groupby(level="run", sort=False)
    )
    within = [
        (group[counts].iloc[-1] - group[counts].iloc[0]) * (group["forgetting"].iloc[-1] - group["forgetting"].iloc[0])
        for _, group in lora.groupby(level="run", sort=False)
    ]
    together = sum(product > 0 for product in within)
    finding = {
        "claim": "along training and over rates, intruders and forgetting rise together, and accuracy not with them",
        "numbers": f"from the first quarter to the end, ε = 0.8: {ends}; LoRA's checkpoints, count and forgetting: "
        f"{forgets}; count and accuracy: {learns}; count and forgetting at equal size of the update: {beyond}",
        "verdict": ("holds" if forgets.direction > 0 >= learns.direction else
                    "does not hold" if forgets.direction < 0 else "cannot tell")
        + f": count and forgetting {WORDS[forgets.direction]}, count and accuracy {WORDS[learns.direction]}; from the "
        f"first quarter to the end both rise at {together} of {len(within)} rates; "
        + ("also" if beyond.direction > 0 else "not shown") + " beyond the size of the update",
    }  # fmt: skip
    keep(setting, "along_training", spectra.Study("dynamics", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
