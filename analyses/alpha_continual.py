"""Does a fixed α = 8 make LoRA of high rank forget more over tasks?

Question: tuned on six tasks in a row, does LoRA of rank 64 with α = 8 gather more intruders, and forget more, than with
α = 2r?
Method: the six tasks of `continual`, 32 steps on at most 300 rows each; full tuning at the middle rate, LoRA of rank 64
with either α, the product of α and the rate the same; three seeds. That is too short for the tasks to be learned, so
what is forgotten is the rise of the text's loss. The claim needs 5% of the vectors, and a fifth of the forgetting.
Verdicts, encoder and decoder: over six tasks α = 8 gathers more at rank 64: does not hold, does not hold; over six
tasks α = 8 forgets more at rank 64: cannot tell, does not hold.

    python analyses/alpha_continual.py [--quick]
"""

from __future__ import annotations

from typing import Any

from common import ALPHA_TIMES_RATE, GRIDS, Setting, each_base, keep
from saved import Finding, Saved, by_seed, ceiling, many, words
from six_tasks import after_all, in_a_row

import spectra
from spectra.studies.verdicts import difference

EIGHT, TWICE_THE_RANK = "LoRA r = 64, α = 8", "LoRA r = 64"
LOSS = "rise of the text's loss"
COLUMNS = {"intruders": 1, LOSS: 2, "average accuracy": 3, "backward transfer": 3}


def measure(setting: Setting) -> None:
    """Train and measure."""
    product = ALPHA_TIMES_RATE[setting.kind]
    methods: dict[str, dict[str, Any]] = {
        "full": {"method": "full", "rank": 1, "learning_rate": GRIDS[setting.kind]["full", 0][1]},
        TWICE_THE_RANK: {"method": "lora", "rank": 64, "learning_rate": product / 128},
        EIGHT: {"method": "lora", "rank": 64, "learning_rate": product / 8, "alpha": 8.0},
    }
    table = in_a_row(setting, "alpha_continual", methods, steps=32, most={"train": 300, "test": 200})
    if table is not None:
        keep(setting, "alpha_continual", spectra.Study("continual", table, {"base": setting.fields["base"]}))


def decide(saved: Saved) -> Finding | None:
    """From the saved tables; None where there were no tasks."""
    table = saved.table("alpha_continual")
    if not len(table):
        return None
    groups = dict(list(after_all(table).groupby("run", sort=False)))
    counts, losses = (
        [by_seed(groups[run], column) for run in (EIGHT, TWICE_THE_RANK)] for column in ("intruders", LOSS)
    )
    enough = max(0.0, 0.2 * losses[1].clip(upper=ceiling(table)).mean())
    more, forgets = "over six tasks α = 8 gathers more at rank 64", "over six tasks α = 8 forgets more at rank 64"
    return Finding(
        "alpha_continual",
        [
            difference(more, *counts, claimed=many(table), measure="{} intruders"),
            difference(forgets, *losses, claimed=enough, measure="{} nats", ceiling=ceiling(table)),
        ],
        f"after six tasks: {words(groups, **COLUMNS)}",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
