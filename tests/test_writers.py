"""What the commands write: whichever call fails, the old file is there or the new one, and nothing else."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from cli import main
from spectra import Recipe, SpectraError, Study, compare
from spectra.results import write_comparisons
from tests.failing import WRITES, content, each_failure, full_disk
from tests.oracles import pico_state, tuned_state

STUDY = Study("counts", pd.DataFrame({"a": range(2000), "b": [0.5] * 2000}), {"from": "nowhere"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved comparison, which the commands read."""
    base = pico_state()
    path = tmp_path_factory.mktemp("saved") / "result.json"
    compare(base, tuned_state(base)).write(path)
    return path


def _command(*arguments: object) -> None:
    """A command whose failure is one sentence and exit code 2."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    if result.exit_code:
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
        raise SpectraError(result.stderr)


def _write_comparisons(saved: Path, path: Path) -> None:
    from spectra import read_comparisons

    write_comparisons(read_comparisons(saved), path)


# What is written, and how.
WRITERS: dict[str, Callable[[Path, Path], Any]] = {
    "a.json": _write_comparisons,
    "a.csv": _write_comparisons,
    "a.parquet": _write_comparisons,
    "study.json": lambda saved, path: STUDY.write(path),
    "study.csv": lambda saved, path: STUDY.write(path),
    "study.parquet": lambda saved, path: STUDY.write(path),
    "recipe.yaml": lambda saved, path: Recipe(base="b", task="t").save(path),
    "recipe.json": lambda saved, path: Recipe(base="b", task="t").save(path),
    "page.html": lambda saved, path: _command("report", saved, "-o", path),
    "map.svg": lambda saved, path: _command("plot", "map", saved, "-o", path),
    "map.png": lambda saved, path: _command("plot", "map", saved, "-o", path),
}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", WRITERS)
def test_whatever_call_fails_the_file_is_the_old_or_the_new(name: str, error: int, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    write = WRITERS[name]
    write(saved, path)  # also so that what is loaded only once is loaded
    size = path.stat().st_size
    path.write_text("old")
    for failed in each_failure(WRITES, lambda: write(saved, path), allowed=SpectraError, error=error):
        assert list(content(tmp_path)) == [name], failed
        assert path.read_bytes() == b"old" or abs(path.stat().st_size - size) < 100, failed
        path.write_text("old")


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_that_names_the_file(name: str, saved: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")
    with full_disk(50), pytest.raises(SpectraError, match=rf"{name}: cannot be written \(.*\); make room"):
        WRITERS[name](saved, tmp_path / name)
    assert content(tmp_path) == {name: b"old"}


@pytest.mark.parametrize("name", [name for name in WRITERS if name.startswith(("a.", "study", "recipe"))])
def test_a_folder_in_its_place_is_one_sentence(name: str, saved: Path, tmp_path: Path) -> None:
    (tmp_path / name / "inside").mkdir(parents=True)
    with pytest.raises(SpectraError, match=rf"{name}.* (directory|Directory)"):
        WRITERS[name](saved, tmp_path / name)
    shutil.rmtree(tmp_path / name)
    assert content(tmp_path) == {}
