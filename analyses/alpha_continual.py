"""Does a fixed α = 8 make LoRA of high rank forget more over tasks?

Question: tuned on six tasks in a row, does LoRA of rank 64 with α = 8 gather more intruders, and forget more, than with
α = 2r?
Method: the six tasks of `continual`, 32 steps on at most 300 rows each; full tuning at the middle rate, LoRA of rank 64
with either α, the product of α and the rate the same; three seeds. That is too short for the tasks to be learned, so
what is forgotten is the rise of the text's loss; a difference counts if it has one sign in every seed.
Verdict: encoder: cannot tell; decoder: does not hold. Numbers: results/alpha_continual-*.json, and README's table.

    python analyses/alpha_continual.py [--quick]
"""

from __future__ import annotations

from typing import Any

from common import ALPHA_TIMES_RATE, GRIDS, Setting, each_base, keep
from six_tasks import after_all, in_a_row, in_words

import spectra

EIGHT, TWICE_THE_RANK = "LoRA r = 64, α = 8", "LoRA r = 64"
COLUMNS = {"intruders": 1, "rise of the text's loss": 2, "average accuracy": 3, "backward transfer": 3}


def main(setting: Setting) -> None:
    """Of one base."""
    product = ALPHA_TIMES_RATE[setting.kind]
    methods: dict[str, dict[str, Any]] = {
        "full": {"method": "full", "rank": 1, "learning_rate": GRIDS[setting.kind]["full", 0][1]},
        TWICE_THE_RANK: {"method": "lora", "rank": 64, "learning_rate": product / 128},
        EIGHT: {"method": "lora", "rank": 64, "learning_rate": product / 8, "alpha": 8.0},
    }
    table = in_a_row(setting, "alpha_continual", methods, steps=32, most={"train": 300, "test": 200})
    if table is None:
        return
    end = after_all(table).set_index(["run", "seed"])
    differences = (end.loc[EIGHT] - end.loc[TWICE_THE_RANK])[["intruders", "rise of the text's loss"]]
    more, less = (differences > 0).all(), (differences < 0).all()
    finding = {
        "claim": "over six tasks rank 64 gathers more intruders and forgets more with α = 8 than with α = 2r",
        "numbers": f"after six tasks, ε = 0.8: {in_words(end, COLUMNS)}",
        "verdict": ("holds" if more.all() else "does not hold" if less.any() else "cannot tell")
        + ": with α = 8 more in every seed: "
        + (", ".join(more.index[more]) or "nothing")
        + "; less in every seed: "
        + (", ".join(less.index[less]) or "nothing"),
    }
    keep(setting, "alpha_continual", spectra.Study("continual", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
