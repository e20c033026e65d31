"""Do intruders pile up over tasks, and does LoRA then forget more than full tuning?

Question: tuned on six tasks in a row and merged after each, does low-rank LoRA gather intruders, and lose more of the
earlier tasks than full tuning does?
Method: mnli, mrpc (for QQP), sst2, siqa, winogrande, fever, in the paper's order; full tuning at the middle rate, LoRA
of ranks 8 and 64, the latter also with α = 8, the product of α and the rate the same; 32 steps a task, three seeds; new
linear heads on the frozen body; spectra against the original base. The verdict is on rank 8; what is forgotten of tasks
is counted over those that every method learned: two standard errors above the base's own body.
Verdict: encoder: cannot tell; decoder: cannot tell. Numbers: results/continual-*.json, and the table in the README.

    python analyses/continual.py [--quick]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from common import ALPHA_TIMES_RATE, GRIDS, Progress, Setting, each_base, keep
from six_tasks import prepared

import spectra
from spectra.studies.statistics import spread

LORA = {"LoRA r = 8": (8, 16), "LoRA r = 64": (64, 128), "LoRA r = 64, α = 8": (64, 8)}  # rank and α
COLUMNS = {
    "intruders": 1,
    "average accuracy": 3,
    "backward transfer": 3,
    "lost of learned tasks": 3,
    "rise of the text's loss": 2,
}


def learned(table: pd.DataFrame) -> list[str]:
    """The tasks that every method does better on, right after training on them, than the untouched base's body."""
    own = table[table["trained_on"] == table["task"]]
    after = own.pivot_table(index="task", columns="run", values="accuracy", sort=False)
    before = table[table["stage"] == 0].groupby("task")[["accuracy", "accuracy_standard_error"]].mean()
    least = before["accuracy"] + 2 * before["accuracy_standard_error"]
    return [task for task in after.index if (after.loc[task] > least[task]).all()]


def lost(table: pd.DataFrame, tasks: list[str]) -> pd.Series:
    """Of each run and seed, how far its tasks fell from their best, on average over `tasks` (Chaudhry et al. 2018)."""
    since = table[(table["stage"] > 0) & table["task"].isin(tasks)].groupby(["run", "seed", "task"], sort=False)
    falls = since["accuracy"].agg(lambda path: path.iloc[:-1].max() - path.iloc[-1])  # NaN for the last task
    return falls.groupby(["run", "seed"], sort=False).mean()


def methods(kind: str) -> dict[str, dict[str, Any]]:
    """The recipe fields of each method."""
    rate = GRIDS[kind]["full", 0][1]
    fields: dict[str, dict[str, Any]] = {"full": {"method": "full", "rank": 1, "learning_rate": rate}}
    for label, (rank, alpha) in LORA.items():
        fields[label] = {"method": "lora", "rank": rank, "learning_rate": ALPHA_TIMES_RATE[kind] / alpha}
        fields[label] |= {"alpha": float(alpha)} if alpha != 2 * rank else {}
    return fields


def stages(setting: Setting, label: str, seed: int) -> Path:
    """Where the stages of a method and seed are kept."""
    name = label.lower().replace(" = ", "").replace(", α", "-a").replace(" ", "-")
    return setting.runs / f"continual-{setting.name}" / f"{name}-s{seed}"


def main(setting: Setting) -> None:
    """Of one base."""
    if not (setting.data / "tasks").is_dir():
        print(f"continual, {setting.name}: no tasks in {setting.data}; give --data")
        return
    tasks = prepared(setting.data, setting.runs / f"tasks-{setting.name}", setting.quick)
    frames, ends = [], []
    for label, fields in methods(setting.kind).items():
        for seed in setting.seeds:
            recipe = spectra.Recipe(
                base=setting.fields["base"], task="", seed=seed, resume_points=0, max_length=64,
                max_steps=2 if setting.quick else 32, **fields,
            )  # fmt: skip
            folder = stages(setting, label, seed)
            study = spectra.continual(recipe, tasks, folder, epsilon=0.8, progress=Progress(), **setting.on_text)
            frames.append(study.table.assign(run=label, seed=seed))
            last = study.table[study.table["stage"] == len(tasks)].iloc[0]
            of_tasks = spectra.transfer(study.table).iloc[-1][["average_accuracy", "backward_transfer"]]
            values = (last["num_intruders"], *of_tasks, float("nan"), last["forgetting"])
            ends.append({"run": label, "seed": seed, **dict(zip(COLUMNS, values, strict=True))})
    table, end = pd.concat(frames, ignore_index=True), pd.DataFrame(ends).set_index(["run", "seed"])
    known = learned(table)
    end["lost of learned tasks"] = lost(table, known)
    finding = found(table, end.reset_index(), known)
    keep(setting, "continual", spectra.Study("continual", table, {"base": setting.fields["base"]}), finding)


def found(table: pd.DataFrame, end: pd.DataFrame, known: list[str]) -> dict[str, str]:
    """The claim, the numbers of the last stage, and the verdict."""
    columns = {column: digits for column, digits in COLUMNS.items() if end[column].notna().any()}
    words = "; ".join(
        f"{label}: " + ", ".join(f"{column} {spread(g[column].tolist(), digits)}" for column, digits in columns.items())
        for label, g in end.groupby("run", sort=False)
    )
    lora, full = end[end["run"] == "LoRA r = 8"], end[end["run"] == "full"]
    gathers = table[table["run"] == "LoRA r = 8"].groupby("stage")["num_intruders"].mean().dropna()
    piles = gathers.iloc[-1] > gathers.iloc[0] and lora["intruders"].min() > full["intruders"].max()
    loses = lora["lost of learned tasks"].min() > full["lost of learned tasks"].max()
    less = (lora.max(numeric_only=True) < full.min(numeric_only=True))[["intruders", "lost of learned tasks"]].any()
    return {
        "claim": "over six tasks LoRA gathers more intruders and forgets more of the earlier tasks than full tuning",
        "numbers": f"after six tasks, ε = 0.8: {words}; untouched base, average accuracy "
        f"{table[table['stage'] == 0]['accuracy'].mean():.3f}",
        "verdict": ("holds" if piles and loses else "does not hold" if less else "cannot tell")
        + f": rank 8's mean count goes from {gathers.iloc[0]:.1f} after one task to {gathers.iloc[-1]:.1f} after six, "
        f"full tuning's to {full['intruders'].mean():.1f}; learned beyond two standard errors by all: "
        f"{', '.join(known) or 'none'}",
    }


if __name__ == "__main__":
    each_base(main, __doc__)
