"""Files written whole or not at all, and fingerprints of files read."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import SpectraError
from .locks import UnlockableError, give_back, locked, take
from .text_files import read_json_object

_PREFIX, _LOCK = ".spectra-", "lock"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What cannot be written in the block becomes a SpectraError about `path`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SpectraError(f"{path}: cannot be written ({why}); make room or choose another place") from error


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path: on disk and renamed to `path` when the block ends well, removed when it does not.

    Raises
    ------
    SpectraError
        If it cannot be written; so it says of an OSError in the block, which is for writing alone.
    """
    path = Path(path).resolve()  # a link stays a link
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/stdout, a pipe: nothing to rename over
        yield path
        return
    with writing(path), workplace(path.parent) as place:
        yield place / path.name
        _publish(place, [path.name], path.parent)


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """A place for files that belong together: on disk and moved into `folder`, one after the other, as `whole_file`."""
    with writing(folder), workplace(folder) as place:
        yield place
        _publish(place, sorted(path.name for path in place.iterdir() if path.name != _LOCK), folder)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which must not be there yet: an empty one to fill.

    Raises
    ------
    SpectraError
        If it cannot be written.
    """
    with writing(path), workplace(path.parent) as place:
        temporary = place / path.name
        temporary.mkdir()
        yield temporary
        sync_files(temporary)
        temporary.rename(path)
        _sync_folder(path.parent)


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for what is not finished, removed at the end with all that is still in it.

    It is locked: one that is not is of a process that was killed, and goes when the next is made.
    """
    remove_leftovers(folder)
    handle = None
    while handle is None:
        place = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        try:
            handle = take(place / _LOCK)  # None, or not there, if it was taken for a leftover before it was locked
        except UnlockableError:
            handle = os.open(place / _LOCK, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError:
            place.rmdir()
            raise
    try:
        yield place
    finally:
        _remove(place, handle)


def claimed(
    folder: Path, name: str, what: str | Path, *, waiting: Callable[[str], None] | None = None
) -> AbstractContextManager[None]:
    """Be the only process that works on what is called `name` in a folder; wait for another one to end.

    What is left of a process that was killed goes as other leftovers do. `what` and `waiting` are those of
    `locks.locked`, and so is what is raised.
    """
    return locked(folder / f"{_PREFIX}{name}" / _LOCK, what, wait=True, waiting=waiting)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder that they wrote to."""
    for place in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, another user's, or gone by now
            found = place.lstat()  # in a folder like /tmp a link, or what another user made, could lead anywhere
            own = stat.S_ISDIR(found.st_mode) and found.st_uid == getattr(os, "geteuid", int)()
            if own and (handle := take(place / _LOCK)) is not None:
                _remove(place, handle)


def is_leftover(path: Path) -> bool:
    """Whether this is a place for what was not finished."""
    return path.name.startswith(_PREFIX)


def sync_files(folder: Path) -> None:
    """Have all files in a folder on disk, so that a power cut takes none of them."""
    for path in folder.rglob("*"):
        _sync_folder(path) if path.is_dir() else _sync(path)
    _sync_folder(folder)


def empty(folder: Path, *, but: Sequence[str] = ()) -> None:
    """Remove what is in a folder, but for some names."""
    for path in folder.iterdir():
        if path.name in but:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _publish(place: Path, names: Sequence[str], folder: Path) -> None:
    mode = (place / _LOCK).stat().st_mode
    for name in names:
        (place / name).chmod(mode)  # some libraries make files that only their owner reads
        _sync(place / name)
    for name in names:
        (place / name).replace(folder / name)
    _sync_folder(folder)


def _remove(place: Path, handle: int) -> None:
    """Its lock goes last: until then nobody takes the rest for a leftover."""
    with suppress(OSError):
        empty(place, but=[_LOCK])
    give_back(place / _LOCK, handle)
    shutil.rmtree(place, ignore_errors=True)


def _sync(path: Path, *, flags: int = os.O_RDWR) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system does it; then a power cut leaves the old or the new
        _sync(folder, flags=os.O_RDONLY)


def noted(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file of ours; empty where it is missing or damaged, and what it was about is made again."""
    try:
        return read_json_object(path)
    except SpectraError:
        return {}


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    SpectraError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpectraError(f"{path}: the folder cannot be made ({error.strerror}); choose another place") from error


def fingerprint(path: Path) -> dict[str, Any]:
    """Path, size in bytes and SHA-256 of a file, read in pieces.

    Raises
    ------
    SpectraError
        If it cannot be read.
    """
    try:
        found = path.stat()
        return {"path": str(path), "bytes": found.st_size, "sha256": _sha256(path, found.st_size, found.st_mtime_ns)}
    except OSError as error:
        raise SpectraError(f"{path}: cannot be read ({error.strerror}); check the disk and who may read it") from error


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
