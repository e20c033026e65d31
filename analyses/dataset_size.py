"""Do intruders come with longer training?

Question: does training on more examples, for as many more steps, plant more intruders at ranks 1 and 8?
Method: LoRA of ranks 1 and 8 at their middle rates, one epoch over 240, 480, 960, 1,920 examples, three seeds;
Spearman's ρ of examples and count. Examples are steps here: it cannot be told which of the two does it.
Verdicts, encoder and decoder: longer training plants more intruders (ranks 1 and 8): holds, cannot tell.

    python analyses/dataset_size.py [--quick]
"""

from __future__ import annotations

from common import GRIDS, Setting, each_base, keep
from curves import keep_counts
from saved import COUNT, Finding, Saved, label

from spectra.studies.statistics import spread
from spectra.studies.verdicts import together, trend

SIZES = [240, 480, 960, 1920]


def measure(setting: Setting) -> None:
    """Train and count."""
    sizes = [16, 32, 48, 64] if setting.quick else SIZES
    rates = {rank: GRIDS[setting.kind]["lora", rank][1] for rank in (1, 8)}
    study = setting.sweep([{"rank": r, "learning_rate": rate, "num_examples": sizes} for r, rate in rates.items()])
    labels = [f"r = {row.rank:g}, {row.num_examples:g} examples" for row in study.table.itertuples()]
    keep_counts(setting, dict(list(study.table.groupby(labels, sort=False))), "dataset_size")
    keep(setting, "dataset_size", study)


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    groups = dict(list(saved.table("dataset_size").groupby("rank")))
    parts, numbers = [], []
    for rank, runs in groups.items():
        table = runs.set_index("run")
        part = trend(label(rank), table["num_examples"], table[COUNT], claimed=0.5, parts=len(groups))
        parts.append(part)
        means = ", ".join(f"{size}: {spread(g[COUNT].tolist())}" for size, g in runs.groupby("num_examples"))
        numbers.append(f"{label(rank)} ({means}; {part})")
    claim = together("longer training plants more intruders (ranks 1 and 8)", parts)
    return Finding("dataset_size", [claim], f"intruders at ε = 0.8 by examples: {'; '.join(numbers)}")


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
