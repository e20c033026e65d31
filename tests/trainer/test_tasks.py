from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spectra import Recipe, RecipeError
from spectra.trainer.tasks import load_task, load_text

ROWS = pd.DataFrame(
    {
        "premise": [f"p{i}" for i in range(20)],
        "hypothesis": [f"h{i}" for i in range(20)],
        "label": [i % 3 for i in range(20)],
    }
)


def _write(path: Path, rows: pd.DataFrame) -> str:
    {".jsonl": lambda: rows.to_json(path, orient="records", lines=True), ".csv": lambda: rows.to_csv(path, index=False),
     ".parquet": lambda: rows.to_parquet(path)}[path.suffix]()  # fmt: skip
    return str(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_files_with_fields_found_and_a_tenth_held_out(tmp_path: Path, suffix: str) -> None:
    task = load_task(Recipe(base="b", task=_write(tmp_path / f"t{suffix}", ROWS)))
    assert task.text_fields == ("premise", "hypothesis")
    assert (task.label_field, task.labels) == ("label", (0, 1, 2))
    assert (len(task.train), len(task.eval)) == (18, 2)
    assert not set(task.train["premise"]) & set(task.eval["premise"])
    assert task.texts(task.eval)[0] == task.eval["premise"].tolist()


def test_the_held_out_rows_do_not_depend_on_the_seed(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", ROWS)
    one, two = (load_task(Recipe(base="b", task=path, seed=s, num_examples=9)) for s in (0, 1))
    assert one.eval["premise"].tolist() == two.eval["premise"].tolist()
    assert one.train["premise"].tolist() != two.train["premise"].tolist()
    assert len(one.train) == 9


def test_an_eval_file_of_its_own(tmp_path: Path) -> None:
    train, evaluation = _write(tmp_path / "a.jsonl", ROWS[:15]), _write(tmp_path / "b.jsonl", ROWS[15:])
    task = load_task(Recipe(base="b", task=train, eval=evaluation))
    assert (len(task.train), len(task.eval)) == (15, 5)


def test_string_labels_are_numbered_in_order(tmp_path: Path) -> None:
    rows = ROWS.assign(label=["yes", "no"] * 10)
    task = load_task(Recipe(base="b", task=_write(tmp_path / "t.csv", rows), eval=_write(tmp_path / "e.csv", rows)))
    assert task.labels == ("no", "yes")
    assert task.classes(task.eval)[:2] == [1, 0]


def test_text_without_labels_is_language_modelling(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one\ntwo\n\nthree\n\n\nfour")
    task = load_task(Recipe(base="b", task=str(tmp_path / "t.txt")))
    assert task.label_field is None
    assert sorted([*task.train["text"], *task.eval["text"]]) == ["four", "one\ntwo", "three"]


def test_the_built_in_task_is_balanced_short_and_split() -> None:
    task = load_task(Recipe(base="b", task="movie-reviews"))
    assert (len(task.eval), task.labels) == (1500, (0, 1))
    assert len(task.train) > 3200
    assert 0.4 < task.eval["label"].mean() < 0.6
    assert not set(task.train["text"]) & set(task.eval["text"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "absent.jsonl"}, "no such file"),
        ({"task": "no/such-data-set"}, "neither a file, a built-in task"),
        ({"text_fields": ("nothing",)}, "no column 'nothing'; it has premise"),
        ({"label_field": "nothing"}, "name one or two in text_fields"),
        ({"eval": "EVAL"}, "label 7 is measured but never trained on"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = _write(tmp_path / "t.jsonl", ROWS)
    if change.get("eval") == "EVAL":
        change = {"eval": _write(tmp_path / "e.jsonl", ROWS.assign(label=7))}
    with pytest.raises(RecipeError, match=message) as caught:
        load_task(Recipe(**{"base": "b", "task": path, **change}))
    assert "\n" not in str(caught.value)


def test_a_directory_in_the_hubs_layout_has_its_own_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    folder.mkdir()
    _write(folder / "train.jsonl", ROWS[:15])
    _write(folder / "validation.jsonl", ROWS[15:])
    task = load_task(Recipe(base="b", task=str(folder)))
    assert (len(task.train), len(task.eval)) == (15, 5)
    assert task.text_fields == ("premise", "hypothesis")
    assert not datasets.are_progress_bars_disabled()


def test_other_files_are_no_task(tmp_path: Path) -> None:
    (tmp_path / "x.docx").write_text("")
    with pytest.raises(RecipeError, match="not a file of data or text"):
        load_task(Recipe(base="b", task=str(tmp_path / "x.docx")))


def test_text_is_the_column_called_text_or_the_longest_without_empty_cells(tmp_path: Path) -> None:
    rows = pd.DataFrame({"id": list("abc"), "body": ["one two three", None, "four five"], "n": [1, 2, 3]})
    assert load_text(_write(tmp_path / "a.csv", rows)) == ["one two three", "four five"]
    rows["text"] = list("xyz")
    assert load_text(_write(tmp_path / "b.jsonl", rows)) == ["x", "y", "z"]
    with pytest.raises(RecipeError, match="no column of text"):
        load_text(_write(tmp_path / "c.csv", rows[["n"]]))


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("test",)])
def test_what_save_to_disk_wrote_is_a_data_set(tmp_path: Path, splits: tuple[str, ...]) -> None:
    import datasets

    parts = {name: datasets.Dataset.from_pandas(ROWS[at * 8 : at * 8 + 8]) for at, name in enumerate(splits)}
    saved = parts["train"] if splits == ("train",) else datasets.DatasetDict(parts)
    saved.save_to_disk(tmp_path / "saved")
    assert load_text(str(tmp_path / "saved")) == [f"p{i}" for i in range(8 * len(splits) - 8, 8 * len(splits))]
    recipe = Recipe(base="b", task=str(tmp_path / "saved"))
    if "train" in splits:
        assert len(load_task(recipe).train) == 7 + (len(splits) > 1)
    else:
        with pytest.raises(RecipeError, match="no rows to train on"):
            load_task(recipe)
        other = _write(tmp_path / "t.csv", ROWS)  # but there is something to measure on
        assert len(load_task(recipe.replace(task=other, eval=recipe.task)).eval) == 8


@pytest.mark.parametrize("labels", [["a", "b", None], [0, 1, None]])
def test_rows_without_a_label_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    path = _write(tmp_path / "t.jsonl", ROWS.assign(label=[labels[i % 3] for i in range(len(ROWS))]))
    with pytest.raises(RecipeError, match=rf"{len(ROWS) // 3} rows have nothing in 'label'"):
        load_task(Recipe(base="b", task=path))
