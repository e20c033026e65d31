"""Do intruders come with more data?

Question: does training on more examples plant more intruders, until it saturates?
Method: LoRA of rank 8 at its middle rate, one epoch over 240, 480, 960, 1,920 examples (so more steps as well), three
seeds; Spearman's ρ of size and count, and the step from the second largest to the largest size.
Verdict: encoder: holds; decoder: cannot tell. Numbers: results/dataset_size-*.json, and the table in the README.

    python analyses/dataset_size.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep

from spectra.studies.statistics import rank_correlation, spread

SIZES = [240, 480, 960, 1920]


def main(setting: Setting) -> None:
    """Of one base."""
    rate = GRIDS[setting.kind]["lora", 8][1]
    sizes = [16, 32, 48, 64] if setting.quick else SIZES
    study = setting.sweep([{"rank": 8, "learning_rate": rate, "num_examples": size} for size in sizes])
    counts = "num_intruders_0.8"
    by_size = study.table.groupby("num_examples")[counts]
    found = rank_correlation(study.table["num_examples"].tolist(), study.table[counts].tolist())
    *_, before, last = by_size.mean()
    words = ", ".join(f"{size}: {spread(values.tolist())}" for size, values in by_size)
    saturated = last <= before + by_size.std().iloc[-1]
    finding = {
        "claim": "more training data plants more intruders",
        "numbers": f"intruders at ε = 0.8 by examples: {words} ({found})",
        "verdict": ("holds" if found.direction > 0 else "does not hold" if found.direction < 0 else "cannot tell")
        + f": from {sizes[-2]} to {sizes[-1]} examples the mean goes from {before:.1f} to {last:.1f}, "
        + f"{'within' if saturated else 'by more than'} a standard deviation",
    }
    keep(setting, "dataset_size", study, finding)


if __name__ == "__main__":
    each_base(main, __doc__)
