"""Every reader of a text file, on files that someone changed: an object that is used without an error, or one sentence.

`SPECTRA_CASES=100000 pytest tests/test_fuzz_texts.py` draws as many of each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spectra import Recipe, RecipeError, SpectraError, Study, compare, load_grid, read_saved
from spectra.results import to_csv, to_json, to_parquet
from spectra.studies.grid import recipes, run_name
from spectra.text_files import read_json, read_json_lines, read_text, read_yaml
from spectra.trainer.tasks import load_task, load_text
from tests.oracles import pico_state, tuned_state
from tests.studies.test_schema import _document
from tests.studies.test_schema import use as use_study
from tests.test_result_schema import VALUES, mutated
from tests.test_result_schema import use as use_result

CASES = int(os.environ.get("SPECTRA_CASES", "20"))
RECIPE = {
    "base": "b",
    "task": "t.csv",
    "method": "lora",
    "rank": 8,
    "alpha": 16.0,
    "learning_rate": 1e-4,
    "text_fields": ["a"],
    "seed": 0,
    "epochs": 1.5,
    "max_steps": None,
}
GRID = {**RECIPE, "rank": [1, 8], "alpha": "2r", "seed": [0, 1], "variants": [{"method": "full"}, {"method": ["lora", "dora"]}], "k": 5, "epsilon": [0.5, 0.8], "text": "self", "num_sequences": 8}  # fmt: skip
ROWS = [{"text": f"word {i}", "other": "é", "label": i % 2} for i in range(8)]
PIECES = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\n", b"\r", b"\x85", b"\xe2\x80\xa8", b"[" * 80, b"{" * 80, b'{"a":' * 70, b"&a ", b"*a ", b"<<: *a", b"!!int ", b"!!python/object:os.system ", b"? ",
    b"- ", b": ", b"'", b'"', b",", b"\\ud800", b"9" * 5001, b"1e999", b"NaN", b"-Infinity", b"null", b"true", b"---\n", b"%YAML 1.1\n", b"\t", b"#", b"|", b">", b"1:2:3", b"2020-13-45", b"0x" + b"f" * 500, b"=1+1", b"\x1b[2J",
]  # fmt: skip


def mutated_bytes(content: bytes, generator: random.Random) -> bytes:
    """The same with one to four places cut out, doubled, changed or filled with what readers stumble over."""
    for _ in range(generator.randint(1, 4)):
        at, length = generator.randrange(len(content) + 1), generator.choice([0, 1, 1, 2, 5, 40])
        piece = generator.choice(
            [b"", generator.choice(PIECES), bytes([generator.randrange(256)]), content[at : at + length] * 2]
        )
        content = content[:at] + piece + content[at + length :]
    return content


def _use_recipe(path: Path) -> None:
    recipe = Recipe.load(path)
    recipe.save(path.with_name(f"again{path.suffix}"))
    assert Recipe.load(path.with_name(f"again{path.suffix}")) == recipe
    assert len(run_name(recipe)) < 100
    assert recipe.replace(seed=1).seed == 1


def _use_grid(path: Path) -> None:
    fields, options = load_grid(path)
    json.dumps(options, allow_nan=False)
    for name, recipe in recipes(fields).items():
        assert name == run_name(recipe)


def _use_task(path: Path) -> None:
    with contextlib.suppress(RecipeError):
        load_text(str(path))
    task = load_task(Recipe(base="b", task=str(path)))
    for rows in (task.train, task.eval):
        assert all(isinstance(text, str) for texts in task.texts(rows) for text in texts)
        if task.label_field:
            assert len(task.classes(rows)) == len(rows)


def _use_saved(path: Path) -> None:
    comparisons, studies = read_saved([path])
    for result in comparisons:
        use_result(result, path.parent, draw=False)
    for study in studies:
        use_study(study, path.parent, draw=False)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    return buffer.getvalue()


def _results() -> Any:
    base = pico_state()
    return compare(base, [tuned_state(base, scale=1.0)], k=3)


def _csv_edited(content: bytes, generator: random.Random) -> bytes:
    """A cell or two of a table changed, as with a spreadsheet."""
    table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    for _ in range(generator.randint(1, 2)):
        row, column = generator.randrange(len(table)), generator.randrange(table.shape[1])
        table.iloc[row, column] = str(generator.choice([*VALUES, "'", "'\\u1", "[[1]]", "1,2", "nan"]))
    return table.to_csv(index=False).encode()


def _parquet_edited(content: bytes, generator: random.Random) -> bytes:
    """A column dropped, renamed, doubled in another, or filled with another value."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    at = generator.randrange(table.num_columns)
    name = table.column_names[at]
    kind = generator.randrange(4)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.rename_columns([f"{n}x" if i == at else n for i, n in enumerate(table.column_names)])
    elif kind == 2:
        table = table.set_column(at, name, table.column(generator.randrange(table.num_columns)))
    else:
        with contextlib.suppress(pyarrow.ArrowException, OverflowError):
            table = table.set_column(at, name, pyarrow.array([generator.choice(VALUES)] * table.num_rows))
    buffer = io.BytesIO()
    try:
        pyarrow.parquet.write_table(table, buffer)
    except pyarrow.ArrowException:  # a type that Parquet has not
        return content
    return buffer.getvalue()


def _json_edited(content: bytes, generator: random.Random) -> bytes:
    return json.dumps(mutated(json.loads(content), generator)).encode()


def _yaml_edited(content: bytes, generator: random.Random) -> bytes:
    return yaml.safe_dump(mutated(yaml.safe_load(content), generator)).encode()


def _lines_edited(content: bytes, generator: random.Random) -> bytes:
    rows = mutated([json.loads(line) for line in content.splitlines()], generator)
    return "\n".join(map(json.dumps, rows if isinstance(rows, list) else [rows])).encode()


Target = tuple[str, Callable[[], bytes], Callable[[Path], Any], list[Callable[[bytes, random.Random], bytes]]]
LINES = "\n".join(map(json.dumps, ROWS)).encode()
TARGETS: dict[str, Target] = {
    "text": ("x.txt", lambda: "one é\n\ntwo\n".encode(), read_text, [mutated_bytes]),
    "JSON": ("x.json", lambda: json.dumps(RECIPE).encode(), read_json, [mutated_bytes]),
    "JSON lines": ("x.jsonl", lambda: LINES, read_json_lines, [mutated_bytes]),
    "YAML": ("x.yaml", lambda: yaml.safe_dump({"a": GRID, "b": [1, {"c": None}]}).encode(), read_yaml, [mutated_bytes]),
    "recipe, YAML": ("r.yaml", lambda: yaml.safe_dump(RECIPE).encode(), _use_recipe, [mutated_bytes, _yaml_edited]),
    "recipe, JSON": ("r.json", lambda: json.dumps(RECIPE).encode(), _use_recipe, [mutated_bytes, _json_edited]),
    "grid": ("g.yaml", lambda: yaml.safe_dump(GRID).encode(), _use_grid, [mutated_bytes, _yaml_edited]),
    "task, JSON lines": ("t.jsonl", lambda: LINES, _use_task, [mutated_bytes, _lines_edited]),
    "task, JSON": ("t.json", lambda: json.dumps(ROWS).encode(), _use_task, [mutated_bytes, _json_edited]),
    "task, CSV": ("t.csv", lambda: pd.DataFrame(ROWS).to_csv(index=False).encode(), _use_task, [mutated_bytes, _csv_edited]),
    "task, Parquet": ("t.parquet", lambda: _parquet(ROWS), _use_task, [mutated_bytes, _parquet_edited]),
    "task, text": ("t.txt", lambda: b"one\n\ntwo\n\nthree\n\nfour", _use_task, [mutated_bytes]),
    "result, JSON": ("r.json", lambda: to_json(_results()), _use_saved, [mutated_bytes, _json_edited]),
    "result, CSV": ("r.csv", lambda: to_csv(_results()), _use_saved, [mutated_bytes, _csv_edited]),
    "result, Parquet": ("r.parquet", lambda: to_parquet(_results()), _use_saved, [mutated_bytes, _parquet_edited]),
    "study, JSON": ("s.json", lambda: json.dumps(_document("sweep")).encode(), _use_saved, [mutated_bytes, _json_edited]),
    "study, Parquet": ("s.parquet", lambda: Study("sweep", pd.DataFrame(_document("sweep")["rows"]), {}).to_bytes("parquet"), _use_saved, [mutated_bytes, _parquet_edited]),
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_changed_files_are_used_or_refused_in_a_sentence(tmp_path: Path, target: str) -> None:
    name, make, use, edits = TARGETS[target]
    content = make()
    path = tmp_path / name
    path.write_bytes(content)
    use(path)  # as it was, it is of use
    generator = random.Random(target)
    refused = 0
    for number in range(CASES):
        changed = generator.choice(edits)(content, generator)
        path.write_bytes(changed)
        try:
            use(path)
        except SpectraError as error:
            refused += 1
            message = str(error)
            if not message or "\n" in message or len(message) > 3000:
                raise AssertionError(f"case {number}: {message!r}") from error
        except Exception as error:  # any other is what the fuzzing is for
            raise AssertionError(f"case {number}: {changed[:3000]!r}") from error
    assert refused or CASES < 50
