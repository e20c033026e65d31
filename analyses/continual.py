"""Do intruders pile up over tasks, and does LoRA then forget more than full tuning?

Question: tuned on six tasks in a row and merged after each, does low-rank LoRA gather intruders, and lose more of the
earlier tasks than full tuning does?
Method: mnli, mrpc (for QQP), sst2, siqa, winogrande, fever, in the paper's order; full tuning and LoRA of rank 8 at the
middle rate, 96 steps on at most 800 rows a task, three seeds; new linear heads on the frozen body, measured on 400
rows; spectra against the original base. What is forgotten of tasks is counted over those that both methods learned: two
standard errors above the base's own body and always saying the commonest label.
Verdict: encoder: cannot tell; decoder: does not hold. Numbers: results/continual-*.json, and the table in the README.

    python analyses/continual.py [--quick]
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from common import GRIDS, Setting, each_base, keep
from six_tasks import after_all, in_a_row, in_words

import spectra

COLUMNS = {
    "intruders": 1,
    "average accuracy": 3,
    "backward transfer": 3,
    "lost of learned tasks": 3,
    "rise of the text's loss": 2,
}


def learned(table: pd.DataFrame) -> list[str]:
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


def main(setting: Setting) -> None:
    """Of one base."""
    grid = GRIDS[setting.kind]
    methods: dict[str, dict[str, Any]] = {
        "full": {"method": "full", "rank": 1, "learning_rate": grid["full", 0][1]},
        "LoRA r = 8": {"method": "lora", "rank": 8, "learning_rate": grid["lora", 8][1]},
    }
    table = in_a_row(setting, "continual", methods, steps=96, most={"train": 800, "test": 400})
    if table is None:
        return
    known = learned(table)
    end = after_all(table).set_index(["run", "seed"])
    end["lost of learned tasks"] = lost(table, known)
    finding = found(table, end.reset_index(), known)
    keep(setting, "continual", spectra.Study("continual", table, {"base": setting.fields["base"]}), finding)


def found(table: pd.DataFrame, end: pd.DataFrame, known: list[str]) -> dict[str, str]:
    """The claim, the numbers of the last stage, and the verdict."""
    columns = {column: digits for column, digits in COLUMNS.items() if end[column].notna().any()}
    lora, full = end[end["run"] == "LoRA r = 8"], end[end["run"] == "full"]
    gathers = table[table["run"] == "LoRA r = 8"].groupby("stage")["num_intruders"].mean().dropna()
    piles = gathers.iloc[-1] > gathers.iloc[0] and lora["intruders"].min() > full["intruders"].max()
    loses = lora["lost of learned tasks"].min() > full["lost of learned tasks"].max()
    less = (lora.max(numeric_only=True) < full.min(numeric_only=True))[["intruders", "lost of learned tasks"]].any()
    return {
        "claim": "over six tasks LoRA gathers more intruders and forgets more of the earlier tasks than full tuning",
        "numbers": f"after six tasks, ε = 0.8: {in_words(end, columns)}; untouched base, average accuracy "
        f"{table[table['stage'] == 0]['accuracy'].mean():.3f}",
        "verdict": ("holds" if piles and loses else "does not hold" if less else "cannot tell")
        + f": rank 8's mean count goes from {gathers.iloc[0]:.1f} after one task to {gathers.iloc[-1]:.1f} after six, "
        f"full tuning's to {full['intruders'].mean():.1f}; learned beyond two standard errors by both: "
        f"{', '.join(known) or 'none'}",
    }


if __name__ == "__main__":
    each_base(main, __doc__)
