"""Does forgetting grow with the intruders as training goes on?

Question: along runs and over learning rates, do the number of intruders and forgetting rise together, while accuracy
does not go with them?
Method: LoRA of rank 8 at three rates and full tuning at its middle one, four checkpoints along each run, three seeds.
Spearman's ρ over all of LoRA's checkpoints, of each seed by itself, without runs that learned nothing: checkpoints of a
run follow one another, so no p-value is given, but what is the same in every seed counts. Of count and forgetting also
partially, with ‖ΔW‖/‖W0‖ held fixed. And along each run, from its first checkpoint to its last, what rises.
Verdict: encoder: cannot tell; decoder: cannot tell. Numbers: results/along_training-*.json, and README's table.

    python analyses/along_training.py [--quick]
"""

from __future__ import annotations

import pandas as pd
from common import GRIDS, Setting, each_base, keep
from curves import along

import spectra
from spectra.studies.statistics import rank_correlation, spread

COUNTS = "num_intruders_0.8"


def over_checkpoints(table: pd.DataFrame, y: str, given: str | None = None) -> list[float]:
    """ρ of count and `y` over the checkpoints of each seed."""
    return [
        rank_correlation(g[COUNTS].tolist(), g[y].tolist(), given=g[given].tolist() if given else None).rho
        for _, g in table.groupby("seed")
    ]


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
    means = table.groupby(["run", "step"], sort=False)[[COUNTS, "forgetting", "accuracy"]].mean()
    ends = "; ".join(
        f"{label}: {group[COUNTS].iloc[0]:.1f} to {group[COUNTS].iloc[-1]:.1f} intruders, forgetting "
        f"{group['forgetting'].iloc[0]:.2f} to {group['forgetting'].iloc[-1]:.2f} nats, accuracy "
        f"{group['accuracy'].iloc[0]:.3f} to {group['accuracy'].iloc[-1]:.3f}"
        for label, group in means.groupby(level="run", sort=False)
    )
    last = table[(table["method"] == "lora") & (table["step"] == table["step"].max())]
    known, left_out = setting.learned(last)
    lora = table.merge(known[["run", "seed"]])
    forgets, learns = over_checkpoints(lora, "forgetting"), over_checkpoints(lora, "accuracy")
    beyond = over_checkpoints(lora, "forgetting", "relative_delta")
    by_run = lora.groupby(["run", "seed"])[[COUNTS, "forgetting", "accuracy"]]
    rises = by_run.last() - by_run.first()
    more = rises[rises[COUNTS] > 0]
    forgot, learned = (int((more[column] > 0).sum()) for column in ("forgetting", "accuracy"))
    finding = {
        "claim": "along training and over rates, intruders and forgetting rise together, and accuracy not with them",
        "numbers": f"from the first quarter to the end, ε = 0.8: {ends}; LoRA's checkpoints, ρ by seed, count and "
        f"forgetting: {spread(forgets, 2)}; count and accuracy: {spread(learns, 2)}; count and forgetting at equal "
        f"size of the update: {spread(beyond, 2)}{left_out}",
        "verdict": ("holds" if min(forgets) > 0 >= max(learns) and learned <= len(more) / 2 else
                    "does not hold" if max(forgets) < 0 else "cannot tell")
        + f": ρ of count and forgetting is above zero in {sum(r > 0 for r in forgets)} of {len(forgets)} seeds, of "
        f"count and accuracy in {sum(r > 0 for r in learns)}, of count and forgetting at equal size in "
        f"{sum(r > 0 for r in beyond)}; along the {len(more)} runs whose count rises forgetting rises in {forgot}, "
        f"accuracy in {learned}",
    }  # fmt: skip
    keep(setting, "along_training", spectra.Study("dynamics", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
