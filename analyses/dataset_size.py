"""Do intruders come with more data?

Question: does training on more examples plant more intruders at rank 8, and at rank 1 about as many?
Method: LoRA of ranks 1 and 8 at their middle rates, one epoch over 240, 480, 960, 1,920 examples (so more steps as
well), three seeds; Spearman's ρ of size and count of each, and the step from the second largest to the largest size.
Verdict: encoder: holds; decoder: cannot tell. Numbers: results/dataset_size-*.json, and the table in the README.

    python analyses/dataset_size.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep
from curves import keep_counts

from spectra.studies.statistics import rank_correlation, spread

SIZES = [240, 480, 960, 1920]


def main(setting: Setting) -> None:
    """Of one base."""
    sizes = [16, 32, 48, 64] if setting.quick else SIZES
    rates = {rank: GRIDS[setting.kind]["lora", rank][1] for rank in (1, 8)}
    study = setting.sweep([{"rank": r, "learning_rate": rate, "num_examples": sizes} for r, rate in rates.items()])
    labels = [f"r = {row.rank:g}, {row.num_examples:g} examples" for row in study.table.itertuples()]
    keep_counts(setting, dict(list(study.table.groupby(labels, sort=False))), "dataset_size")
    words, steps, directions = [], [], []
    for rank, group in study.table.groupby("rank"):
        by_size = group.groupby("num_examples")["num_intruders_0.8"]
        found = rank_correlation(group["num_examples"].tolist(), group["num_intruders_0.8"].tolist())
        each = ", ".join(f"{size}: {spread(values.tolist())}" for size, values in by_size)
        *_, before, last = by_size.mean()
        within = "within" if last <= before + by_size.std().iloc[-1] else "by more than"
        words.append(f"r = {rank:g}: {each} ({found})")
        steps.append(f"r = {rank:g} from {before:.1f} to {last:.1f}, {within} a standard deviation")
        directions.append(found.direction)
    rising = [f"r = {rank}" for rank, direction in zip(rates, directions, strict=True) if direction > 0]
    finding = {
        "claim": "more training data plants more intruders (r = 8)",
        "numbers": f"intruders at ε = 0.8 by examples: {'; '.join(words)}",
        "verdict": {1: "holds", -1: "does not hold"}.get(directions[-1], "cannot tell")
        + f": ρ is above zero (p < 0.05) at {' and '.join(rising) or 'neither rank'}; "
        f"from {sizes[-2]} to {sizes[-1]} examples the mean goes, " + "; ".join(steps),
    }
    keep(setting, "dataset_size", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
