"""Points that a run goes on from: checkpoints of the Trainer, each marked once it is whole and on disk."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..files import fingerprint, noted, remove_leftovers, sync_files, whole_file

_MARK = "whole.json"


@dataclass(frozen=True)
class Point:
    """A checkpoint of the Trainer, and how many seconds of training made it."""

    path: Path
    seconds: float


def mark_whole(point: Point) -> None:
    """Note that a checkpoint is whole, with the digests of its files, and remove those before it."""
    sync_files(point.path)
    mark = {"seconds": point.seconds, "files": _digests(point.path)}
    with whole_file(point.path / _MARK) as temporary:
        temporary.write_text(json.dumps(mark), encoding="utf-8")
    for other in _checkpoints(point.path.parent):
        if other != point.path:
            shutil.rmtree(other)


def last_whole(partial: Path) -> Point | None:
    """The newest checkpoint that is as it was marked; those that are not are removed."""
    for folder in _checkpoints(partial):
        remove_leftovers(folder)
        mark = noted(folder / _MARK)
        seconds = mark.get("seconds")
        if isinstance(seconds, (int, float)) and mark.get("files") == _digests(folder):
            return Point(folder, seconds)
        shutil.rmtree(folder)  # cut off while it was saved, or damaged since
    return None


def _checkpoints(partial: Path) -> list[Path]:
    """The newest first."""
    folders = (path for path in partial.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal())
    return sorted(folders, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != _MARK)
    return {str(path.relative_to(folder)): fingerprint(path)["sha256"] for path in files}
