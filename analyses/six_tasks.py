"""The paper's six tasks, or what stands for them, as files that the trainer reads."""

from __future__ import annotations

import json
from pathlib import Path

TASKS = ("mnli", "mrpc", "sst2", "siqa", "winogrande", "fever")  # in the paper's order; mrpc for QQP


def rows(source: Path, most: int) -> list[dict[str, object]]:
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
    for name in TASKS[:3] if quick else TASKS:
        for split, most in (("train", 64 if quick else 300), ("test", 32 if quick else 200)):
            lines = [json.dumps(row) for row in rows(data / "tasks" / f"{name}.{split}.jsonl", most)]
            (folder / f"{name}.{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        fields.append(
            {side: str(folder / f"{name}.{file}.jsonl") for side, file in (("task", "train"), ("eval", "test"))}
        )
    return fields
