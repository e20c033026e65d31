from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from spectra import Comparison, ResultError, SpectraError, compare, read_comparisons, write_comparisons
from spectra.results import to_markdown
from tests.failing import READS, each_failure
from tests.oracles import pico_state, tuned_state
from tests.test_escaping import NAMES, is_harmless


@pytest.fixture(scope="module", params=["left", "both"])
def results(request: pytest.FixtureRequest) -> list[Comparison]:
    base = pico_state()
    base["unlayered.proj.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    base["layers.0.mlp.up_proj.weight"] *= 0  # a zero base: relative sizes are NaN
    return compare(base, [tuned_state(base, seed=1), tuned_state(base, seed=2, rank=3)], side=request.param)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
@pytest.mark.parametrize("number", [1, 2])
def test_reads_back_what_it_wrote(tmp_path: Path, results: list[Comparison], suffix: str, number: int) -> None:
    path = tmp_path / f"result{suffix}"
    write_comparisons(results[:number], path)
    back = read_comparisons(path)
    assert len(back) == number
    for before, after in zip(results, back, strict=False):
        pd.testing.assert_frame_equal(before.matrices, after.matrices, check_column_type=False)
        pd.testing.assert_frame_equal(before.skipped, after.skipped)
        pd.testing.assert_frame_equal(before.vectors, after.vectors)
        for field in ("base", "tuned", "k", "epsilon", "side", "provenance"):
            assert getattr(before, field) == getattr(after, field)
        assert before.matrices["relative_delta"].isna().sum() == 1  # so NaN made the journey


@pytest.mark.parametrize("label", ["001", "1e3", "null", "nan"])
@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_names_that_look_like_numbers_stay_names(tmp_path: Path, suffix: str, label: str) -> None:
    base = {"0.weight": torch.randn(6, 6), "2.weight": torch.randn(6, 6)}  # as in nn.Sequential
    result = dataclasses.replace(compare(base, {n: t + 1 for n, t in base.items()}), tuned=label)
    result.write(tmp_path / f"r{suffix}")
    back = Comparison.read(tmp_path / f"r{suffix}")
    assert back.tuned == label
    assert back.matrix("0")["name"] == "0"


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "half a character"])
@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_any_name_is_read_back(tmp_path: Path, suffix: str, kind: str) -> None:
    name = NAMES[kind]
    base = {f"{name}.weight": torch.randn(6, 6), f"{name}.norm": torch.randn(6)}
    result = compare(base, {n: t + 1 for n, t in base.items()})
    entries = result.skipped.assign(reason=pd.Series([name or "none"], dtype=object))
    result = dataclasses.replace(result, base=name, tuned=name, skipped=entries, provenance={"seen": name})
    result.write(tmp_path / f"r{suffix}")
    back = Comparison.read(tmp_path / f"r{suffix}")
    assert (back.base, back.tuned, back.provenance) == (name, name, {"seen": name})
    pd.testing.assert_frame_equal(result.matrices, back.matrices, check_exact=True)
    pd.testing.assert_frame_equal(result.skipped, back.skipped)


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "half a character"])
def test_markdown_of_any_name_has_a_line_a_row(results: list[Comparison], kind: str) -> None:
    name = NAMES[kind]
    lines = to_markdown(results).decode().split("\n")
    named = dataclasses.replace(results[0], tuned=name, matrices=results[0].matrices.assign(name=name))
    shown = to_markdown([named, *results[1:]]).decode().split("\n")
    assert len(shown) == len(lines)
    assert all(map(is_harmless, shown))


def test_write_and_read_of_one(tmp_path: Path, results: list[Comparison]) -> None:
    results[0].write(tmp_path / "one.json")
    assert Comparison.read(tmp_path / "one.json").num_intruders == results[0].num_intruders
    write_comparisons(results, tmp_path / "two.json")
    with pytest.raises(ResultError, match="holds 2 comparisons"):
        Comparison.read(tmp_path / "two.json")


def test_json_has_the_documented_keys(tmp_path: Path, results: list[Comparison]) -> None:
    results[0].write(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    assert list(document) == [
        "schema_version", "base", "tuned", "k", "epsilon", "side", "num_intruders", "counts", "num_matrices", "matrices", "skipped", "provenance",
    ]  # fmt: skip
    wanted = {"name", "rows", "cols", "num_intruders", "intruders", "max_cosine", "singular_values", "effective_rank"}
    wanted |= {"stable_rank", "delta_norm", "relative_delta"}
    assert wanted <= set(document["matrices"][0])
    assert {"name", "reason"} <= set(document["skipped"][0])
    assert len(document["matrices"][0]["max_cosine"]) == document["k"]


def test_csv_is_plain_for_any_reader(tmp_path: Path, results: list[Comparison]) -> None:
    import csv

    write_comparisons(results, tmp_path / "r.csv")
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(r.matrices) + len(r.skipped) for r in results)
    assert {row["comparison"] for row in rows} == {"0", "1"}
    assert {row["skipped"] for row in rows if row["name"] == "embed_tokens"} == {
        "embedding or head: left out unless --include names it"
    }


def test_markdown_is_worst_first(results: list[Comparison]) -> None:
    text = to_markdown(results).decode()
    assert text.count("| name | num_intruders |") == 2
    assert results[0].summary() in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "no such file"),
        ("x.txt", "hello", "not a saved result"),
        ("x.json", "{", "not valid JSON"),
        ("x.json", '{"a": 1}', "not a result of spectra compare"),
        ("x.json", '{"schema_version": 99}', "schema version 99, this spectra reads 1"),
        ("x.csv", "a,b\n1,2\n", "not a result of spectra compare"),
        ("x.parquet", "junk", "cannot be read as Parquet"),
    ],
)
def test_unreadable_results_are_one_sentence(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ResultError, match=message):
        read_comparisons(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, results: list[Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    results[0].write(path)
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SpectraError, match="disk full"):
        write_comparisons(results, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_an_unknown_suffix(tmp_path: Path, results: list[Comparison]) -> None:
    with pytest.raises(ResultError, match=r"saved as one of \.json, \.csv, \.parquet"):
        write_comparisons(results, tmp_path / "r.xlsx")


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_a_read_that_fails_is_a_sentence(tmp_path: Path, results: list[Comparison], suffix: str) -> None:
    path = tmp_path / f"r{suffix}"
    write_comparisons(results, path)
    assert list(each_failure(READS, lambda: read_comparisons(path), allowed=ResultError, error=errno.EIO))
