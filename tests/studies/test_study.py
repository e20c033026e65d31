from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spectra import ResultError, Study, compare, read_saved
from tests.oracles import pico_state, tuned_state

TABLE = pd.DataFrame({"run": ["a", "b|c"], "loss": [0.5, np.nan], "num": [1, 2], "rule": ["x", "=y"]})


@pytest.fixture
def study() -> Study:
    return Study("counts", TABLE, {"base": "b", "epsilon": [0.5]})


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_it_comes_back_as_it_was(study: Study, tmp_path: Path, suffix: str) -> None:
    study.write(tmp_path / f"s.{suffix}")
    back = Study.read(tmp_path / f"s.{suffix}")
    pd.testing.assert_frame_equal(back.table, study.table)
    assert (back.kind, dict(back.provenance)) == (study.kind, study.provenance)


def test_csv_and_markdown_are_for_others(study: Study) -> None:
    assert study.to_bytes("csv").decode().splitlines()[0] == "run,loss,num,rule"
    assert "b\\|c" in study.to_bytes("markdown").decode()


def test_it_shows_itself(study: Study) -> None:
    assert "2 rows" in repr(study)
    assert "<table" in study._repr_html_()


def test_comparisons_and_studies_are_told_apart(study: Study, tmp_path: Path) -> None:
    result = compare(pico_state(), tuned_state(pico_state()))
    for suffix in ("json", "parquet"):
        study.write(tmp_path / f"s.{suffix}")
        result.write(tmp_path / f"c.{suffix}")
        comparisons, studies = read_saved([tmp_path / f"c.{suffix}", tmp_path / f"s.{suffix}"])
        assert [c.num_intruders for c in comparisons] == [result.num_intruders]
        assert [s.kind for s in studies] == ["counts"]


def test_mistakes(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="one of these suffixes"):
        study.write(tmp_path / "s.txt")
    with pytest.raises(ResultError, match="no such file"):
        Study.read(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("[]")
    (tmp_path / "bad.parquet").write_text("[]")
    for name, message in (
        ("bad.json", "holds a list where a JSON object"),
        ("bad.parquet", "cannot be read as Parquet"),
    ):
        with pytest.raises(ResultError, match=message):
            Study.read(tmp_path / name)
    newer = study.to_bytes("json").replace(b'"schema_version": 1', b'"schema_version": 9')
    (tmp_path / "new.json").write_bytes(newer)
    with pytest.raises(ResultError, match="newer spectra"):
        Study.read(tmp_path / "new.json")
