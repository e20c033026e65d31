"""Do intruders pile up over tasks, and does LoRA then forget more than full tuning?

Question: tuned on six tasks in a row and merged after each, does low-rank LoRA gather intruders, and lose more of the
earlier tasks than full tuning does?
Method: mnli, mrpc (for QQP), sst2, siqa, winogrande, fever, in the paper's order; full tuning and LoRA of rank 8 at the
middle rate, 32 steps a task, three seeds; new linear heads on the frozen body; spectra against the original base.
Verdict: decoder: does not hold. Numbers: results/continual-*.json, and the table in the README.

    python analyses/continual.py [--quick]
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from common import GRIDS, SEEDS, Progress, keep, settings

import spectra
from spectra.studies.statistics import spread

TASKS = ("mnli", "mrpc", "sst2", "siqa", "winogrande", "fever")
RUNS = (("full", 0), ("lora", 8))


def rows(source: Path, name: str, most: int) -> list[dict[str, object]]:
    """The first rows of a task as at most two texts and a label; each option of a choice is an example of its own."""
    found = []
    for line in source.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "options" in row:
            blank = row.get("sentence", "")
            for at, option in enumerate(row["options"]):
                text = {"a": blank.replace("_", option)} if blank else {"a": row["question"], "b": option}
                found.append({**text, "label": int(at == row["label"])})
        else:
            texts = [value for key, value in row.items() if key != "label"]
            found.append({**dict(zip("ab", texts, strict=False)), "label": row["label"]})
    return found[:most]


def prepared(data: Path, folder: Path, quick: bool) -> list[dict[str, str]]:
    """Each task as files of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = []
    for name in TASKS:
        for split, most in (("train", 64 if quick else 300), ("test", 32 if quick else 200)):
            lines = [json.dumps(row) for row in rows(data / "tasks" / f"{name}.{split}.jsonl", name, most)]
            (folder / f"{name}.{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        fields.append(
            {side: str(folder / f"{name}.{file}.jsonl") for side, file in (("task", "train"), ("eval", "test"))}
        )
    return fields


def learned(table: pd.DataFrame) -> list[str]:
    """The tasks that both methods do better on, right after training on them, than the untouched base's body."""
    after = table[table["trained_on"] == table["task"]].groupby(["task", "run"])["accuracy"].mean().unstack()
    before = table[table["stage"] == 0].groupby("task")[["accuracy", "accuracy_standard_error"]].mean()
    least = before["accuracy"] + 2 * 2**0.5 * before["accuracy_standard_error"] / len(SEEDS) ** 0.5
    return [task for task in TASKS if (after.loc[task] > least[task]).all()]


def main() -> None:
    """The decoder, or the encoder where there is none."""
    setting = settings(__doc__)[-1]
    if not (setting.data / "tasks").is_dir():
        print(f"no tasks in {setting.data}: give --data")
        return
    tasks = prepared(setting.data, setting.runs / "tasks", setting.quick)
    text = {name: setting.options[name] for name in ("text", "num_sequences", "length")}
    text["objective"] = setting.options.get("objective", "auto")
    frames, ends = [], []
    for method, rank in RUNS:
        for seed in SEEDS:
            recipe = spectra.Recipe(
                base=setting.fields["base"], task="", method=method, rank=max(rank, 1), seed=seed, resume_points=0,
                learning_rate=GRIDS[setting.kind][method, rank][1], max_steps=2 if setting.quick else 32, max_length=64,
            )  # fmt: skip
            folder = setting.runs / f"continual-{setting.name}" / f"{method}-r{rank}-s{seed}"
            study = spectra.continual(recipe, tasks, folder, epsilon=0.8, progress=Progress(), **text)
            label = "full" if method == "full" else f"LoRA r = {rank}"
            frames.append(study.table.assign(run=label, seed=seed))
            last = study.table[study.table["stage"] == len(TASKS)].iloc[0]
            ends.append({"run": label, **spectra.transfer(study.table).iloc[-1], "intruders": last["num_intruders"]})
            ends[-1]["text"] = last["forgetting"]
    table, end = pd.concat(frames, ignore_index=True), pd.DataFrame(ends)
    words = "; ".join(
        f"{label}: intruders {spread(g['intruders'].tolist())}, average accuracy "
        f"{spread(g['average_accuracy'].tolist(), 3)}, backward transfer {spread(g['backward_transfer'].tolist(), 3)}, "
        f"forgetting {spread(g['forgetting'].tolist(), 3)}, rise of the text's loss {spread(g['text'].tolist(), 2)}"
        for label, g in end.groupby("run", sort=False)
    )
    lora, full = end[end["run"] != "full"], end[end["run"] == "full"]
    gathers = table[table["run"] != "full"].groupby("stage")["num_intruders"].mean().dropna()
    piles = gathers.iloc[-1] > gathers.iloc[0] and lora["intruders"].min() > full["intruders"].max()
    loses = lora["forgetting"].min() > full["forgetting"].max()
    known = learned(table)
    enough = len(known) > len(TASKS) / 2
    finding = {
        "claim": "over six tasks LoRA gathers intruders and forgets more of the earlier tasks than full tuning",
        "numbers": f"after six tasks, ε = 0.8: {words}; untouched base, average accuracy "
        f"{table[table['stage'] == 0]['accuracy'].mean():.3f}",
        "verdict": ("holds" if piles and loses and enough else "does not hold" if not piles else "cannot tell")
        + f": LoRA's mean count goes from {gathers.iloc[0]:.1f} after one task to {gathers.iloc[-1]:.1f} after six, "
        f"full tuning's to {full['intruders'].mean():.1f}; of the tasks only {', '.join(known) or 'none'} "
        "are learned beyond two standard errors, so what is forgotten of tasks cannot be told",
    }
    if enough:
        finding["verdict"] = finding["verdict"].partition("; of the tasks")[0]
    keep(setting, "continual", spectra.Study("continual", table, {"base": setting.fields["base"]}), finding)


if __name__ == "__main__":
    main()
