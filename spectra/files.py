"""Files written whole or not at all, and fingerprints of files read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import SpectraError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    Raises
    ------
    SpectraError
        If the folder of `path` is missing or cannot be written to.
    """
    path = Path(path).resolve()  # a link stays a link
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to rename over
        yield path
        return
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        raise SpectraError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp gives 0600; the result should be as readable as any file the user makes.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    """Path, size in bytes and SHA-256 of a file, read in pieces."""
    stat = path.stat()
    return {"path": str(path), "bytes": stat.st_size, "sha256": _sha256(path, stat.st_size, stat.st_mtime_ns)}


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
