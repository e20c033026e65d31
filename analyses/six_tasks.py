"""The paper's six tasks, or what stands for them, and models tuned on them one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from common import Progress, Setting

import spectra

TASKS = ("mnli", "mrpc", "sst2", "siqa", "winogrande", "fever")  # in the paper's order; mrpc for QQP


def rows(source: Path, most: int) -> list[dict[str, object]]:
    """The first rows of a task as at most two texts and a label.

    Each option of a choice (siqa, winogrande) is an example of its own, right or wrong: their accuracy is that of these
    judgements, not of choosing.
    """
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


def prepared(setting: Setting, folder: Path, most: dict[str, int]) -> list[dict[str, str]]:
    """Each task as files of ours, of at most that many rows of each split."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = []
    for name in TASKS[:3] if setting.quick else TASKS:
        files = {split: folder / f"{name}.{split}.jsonl" for split in most}
        for split, file in files.items():
            lines = [json.dumps(row) for row in rows(setting.data / "tasks" / file.name, most[split])]
            file.write_text("\n".join(lines), encoding="utf-8")
        fields.append({"task": str(files["train"]), "eval": str(files["test"])})
    return fields


def commonest(tasks: list[dict[str, str]]) -> dict[str, float]:
    """The accuracy on each task of always saying its commonest label."""
    labels = [pd.read_json(task["eval"], lines=True)["label"] for task in tasks]
    shares = [float(column.value_counts(normalize=True).max()) for column in labels]
    return dict(zip(TASKS, shares, strict=False))  # a quick setting has fewer


def stages(setting: Setting, study: str, label: str, seed: int) -> Path:
    """Where a study keeps the stages of a method and seed."""
    name = label.lower().replace(" = ", "").replace(", α", "-a").replace(" ", "-")
    return setting.runs / f"{study}-{setting.name}" / f"{name}-s{seed}"


def in_a_row(
    setting: Setting, study: str, methods: dict[str, dict[str, Any]], *, steps: int, most: dict[str, int]
) -> pd.DataFrame | None:
    """The rows of `spectra.continual` of every method and seed; None where there are no such tasks."""
    if not (setting.data / "tasks").is_dir():
        print(f"{study}, {setting.name}: no tasks in {setting.data}; give --data")
        return None
    if setting.quick:
        steps, most = 2, {"train": 64, "test": 32}
    tasks = prepared(setting, setting.runs / f"{study}-{setting.name}" / "tasks", most)
    frames = []
    for label, fields in methods.items():
        for seed in setting.seeds:
            own = {"base": setting.fields["base"], "seed": seed, "max_steps": steps, **fields}
            recipe = spectra.Recipe(task="", max_length=64, resume_points=0, **own)
            folder = stages(setting, study, label, seed)
            found = spectra.continual(recipe, tasks, folder, epsilon=0.8, progress=Progress(), **setting.on_text)
            frames.append(found.table.assign(run=label, seed=seed))
    table = pd.concat(frames, ignore_index=True)
    last = sorted(folder.glob("stage-*/model"))[-1]
    examined = spectra.compare(setting.fields["base"], last, epsilon=0.8).vectors
    bounds = {"num_vectors": len(examined), "ceiling": setting.bounds["ceiling"]}
    return table.assign(commonest=table["task"].map(commonest(tasks)), **bounds)


def after_all(table: pd.DataFrame) -> pd.DataFrame:
    """Of each run and seed, what there is after the last stage."""
    ends = []
    for (run, seed), group in table.groupby(["run", "seed"], sort=False):
        last, of_tasks = group[group["stage"] == group["stage"].max()].iloc[0], spectra.transfer(group).iloc[-1]
        values = {"intruders": last["num_intruders"], "rise of the text's loss": last["forgetting"]}
        values |= {name.replace("_", " "): of_tasks[name] for name in ("average_accuracy", "backward_transfer")}
        ends.append({"run": run, "seed": seed, **values})
    return pd.DataFrame(ends)
