"""Do intruders pile up over tasks, and does LoRA then forget more than full tuning?

Question: tuned on six tasks in a row and merged after each, does low-rank LoRA gather more intruders than full tuning,
and does it lose more of the earlier tasks?
Method: mnli, mrpc (for QQP), sst2, siqa, winogrande, fever, in the paper's order; full tuning and LoRA of rank 8 at the
middle rate, 96 steps on at most 800 rows a task, three seeds; new linear heads on the frozen body, measured on 400
rows; spectra against the original base. What is lost of tasks is counted over those that both methods learned: two
standard errors above the base's own body and always saying the commonest label. The claim needs 5% of the vectors, and
two points of accuracy.
Verdicts, encoder and decoder: over six tasks LoRA gathers more intruders: cannot tell, does not hold; over six tasks
LoRA loses more of earlier tasks: cannot tell, does not hold.

    python analyses/continual.py [--quick]
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from common import GRIDS, Setting, each_base, keep
from saved import Finding, Saved, by_seed, ceiling, many, words
from six_tasks import after_all, in_a_row

import spectra
from spectra.studies.verdicts import difference

COLUMNS = {
    "intruders": 1,
    "average accuracy": 3,
    "backward transfer": 3,
    "lost of learned tasks": 3,
    "rise of the text's loss": 2,
}


def measure(setting: Setting) -> None:
    """Train and measure."""
    grid = GRIDS[setting.kind]
    methods: dict[str, dict[str, Any]] = {
        "full": {"method": "full", "rank": 1, "learning_rate": grid["full", 0][1]},
        "LoRA r = 8": {"method": "lora", "rank": 8, "learning_rate": grid["lora", 8][1]},
    }
    table = in_a_row(setting, "continual", methods, steps=96, most={"train": 800, "test": 400})
    if table is not None:
        keep(setting, "continual", spectra.Study("continual", table, {"base": setting.fields["base"]}))


def learned_tasks(table: pd.DataFrame) -> list[str]:
    """The tasks learned: right after training on them every method beats the untouched base's body and chance."""
    own = table[table["trained_on"] == table["task"]]
    after = own.pivot_table(index="task", columns="run", values="accuracy", sort=False)
    before = table[table["stage"] == 0].groupby("task")[["accuracy", "accuracy_standard_error", "commonest"]].mean()
    least = before[["accuracy", "commonest"]].max(axis=1) + 2 * before["accuracy_standard_error"]
    return [task for task in after.index if (after.loc[task] > least[task]).all()]


def lost(table: pd.DataFrame, tasks: list[str]) -> pd.Series:
    """Of each run and seed, how far its tasks fell from their best, on average over `tasks` (Chaudhry et al. 2018)."""
    since = table[(table["stage"] > 0) & table["task"].isin(tasks)].groupby(["run", "seed", "task"], sort=False)
    falls = since["accuracy"].agg(lambda path: path.iloc[:-1].max() - path.iloc[-1])  # NaN for the last task
    return falls.groupby(["run", "seed"], sort=False).mean()


def decide(saved: Saved) -> Finding | None:
    """From the saved tables; None where there were no tasks."""
    table = saved.table("continual")
    if not len(table):
        return None
    tasks = learned_tasks(table)
    end = after_all(table).set_index(["run", "seed"])
    end["lost of learned tasks"] = lost(table, tasks)
    groups = {run: g.reset_index("seed") for run, g in end.groupby("run", sort=False)}
    shown = {column: digits for column, digits in COLUMNS.items() if end[column].notna().any()}
    lora, full = groups["LoRA r = 8"], groups["full"]
    counts, losses = (
        [by_seed(g, column).dropna() for g in (lora, full)] for column in ("intruders", "lost of learned tasks")
    )
    return Finding(
        "continual",
        [
            difference(
                "over six tasks LoRA gathers more intruders", *counts, claimed=many(table), measure="{} intruders"
            ),
            difference(
                "over six tasks LoRA loses more of earlier tasks", *losses, claimed=0.02, measure="{} of accuracy"
            ),
        ],
        f"after six tasks: {words(groups, **shown)}; untouched base, average accuracy "
        f"{table[table['stage'] == 0]['accuracy'].mean():.3f}; learned beyond two standard errors by both: "
        f"{', '.join(tasks) or 'none'}{collapsed(end, ceiling(table))}",
    )


def collapsed(end: pd.DataFrame, most: float) -> str:
    """In words, how many models no longer tell anything on the text; "" if none."""
    count = int((end["rise of the text's loss"] > most - 0.01).sum())
    return (
        f"; {count} of {len(end)} models tell nothing on the text any more (ceiling {most:.2f} nats)" if count else ""
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
