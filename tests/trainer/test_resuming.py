from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spectra import SpectraError
from spectra.trainer.resuming import Point, last_whole, mark_whole
from tests.failing import WRITES, content, each_failure


def _saved(partial: Path, step: int) -> Path:
    """A checkpoint as the Trainer saves it."""
    folder = partial / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes([step]) * 10)
    (folder / "trainer_state.json").write_text("{}")
    return folder


def test_the_newest_whole_point_is_kept_and_taken(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None
    for step in (2, 9, 10):  # in the order of numbers, not of names
        mark_whole(Point(_saved(tmp_path, step), 0.5 * step))
        assert [path.name for path in tmp_path.iterdir()] == [f"checkpoint-{step}"]
    assert last_whole(tmp_path) == Point(tmp_path / "checkpoint-10", 5.0)


def test_a_folder_that_is_no_point_is_left_alone(tmp_path: Path) -> None:
    point = _saved(tmp_path, 4)
    mark_whole(Point(point, 1.5))
    (tmp_path / "checkpoint-tmp").mkdir()
    assert last_whole(tmp_path) == Point(point, 1.5)
    assert (tmp_path / "checkpoint-tmp").is_dir()


def test_a_point_that_was_killed_when_its_mark_was_written_is_whole(tmp_path: Path) -> None:
    point = Point(_saved(tmp_path, 8), 4.0)
    mark_whole(point)
    (point.path / ".spectra-x").mkdir()
    (point.path / ".spectra-x" / "lock").touch()
    assert last_whole(tmp_path) == point
    assert not any(".spectra" in name for name in content(tmp_path))


HALVES: dict[str, Callable[[Path], object]] = {
    "without a mark": lambda folder: (folder / "whole.json").unlink(),
    "an empty mark": lambda folder: (folder / "whole.json").write_bytes(b""),
    "a mark that is no mapping": lambda folder: (folder / "whole.json").write_text("[1]"),
    "a mark too deep": lambda folder: (folder / "whole.json").write_text("[" * 100_000),
    "a mark that is no text": lambda folder: (folder / "whole.json").write_bytes(b"\xff\xfe"),
    "a mark without its seconds": lambda folder: (folder / "whole.json").write_text(
        json.dumps({"files": json.loads((folder / "whole.json").read_text())["files"]})
    ),
    "one byte changed": lambda folder: (folder / "model.safetensors").write_bytes(b"\t" * 9 + b"\b"),
    "a file missing": lambda folder: (folder / "model.safetensors").unlink(),
    "a file more": lambda folder: (folder / ".tmpXYZ").write_bytes(b""),
}


@pytest.mark.parametrize("damage", HALVES.values(), ids=list(HALVES))
def test_a_half_or_damaged_point_is_removed_and_the_one_before_it_taken(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    mark_whole(Point(_saved(tmp_path, 8), 4.0))
    before = (tmp_path / "checkpoint-8").rename(tmp_path / "aside")
    mark_whole(Point(_saved(tmp_path, 9), 5.0))
    before.rename(tmp_path / "checkpoint-8")
    damage(tmp_path / "checkpoint-9")
    assert last_whole(tmp_path) == Point(tmp_path / "checkpoint-8", 4.0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-8"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whatever_call_fails_there_is_a_whole_point(tmp_path: Path, error: int) -> None:
    old = Point(_saved(tmp_path / "kept", 1), 1.0)
    mark_whole(old)
    whole = content(tmp_path / "kept" / "checkpoint-1")

    def mark() -> None:
        mark_whole(Point(tmp_path / "kept" / "checkpoint-2", 2.0))

    _saved(tmp_path / "kept", 2)
    for failed in each_failure(WRITES, mark, allowed=(OSError, SpectraError), error=error):
        found = last_whole(tmp_path / "kept")
        assert found is not None, failed
        assert len(list((tmp_path / "kept").iterdir())) == 1
        if found == old:
            assert content(old.path) == whole
        else:
            assert found.seconds == 2.0
            for name, data in {**whole, "trainer_state.json": b"{}"}.items():
                old.path.mkdir(exist_ok=True)
                (old.path / name).write_bytes(data)
            for path in found.path.iterdir():
                path.unlink()
            found.path.rmdir()
        _saved(tmp_path / "kept", 2)
