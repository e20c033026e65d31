"""Locks on what several processes may work on at once: a small file that names its owner.

The lock is `flock`'s, which belongs to the open file: the system takes it back when its owner ends, however it ends, so
that a file left behind is never in the way. On NFS, Linux makes it a lock of the server. Windows, and file systems that
cannot lock, get a warning and no lock.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import SpectraError

with suppress(ImportError):  # Windows has none
    import fcntl

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # a link in a folder from elsewhere is nobody's lock
_AGAIN = 0.1  # seconds until it is tried again


class UnlockableError(OSError):
    """The system or the file system has no locks."""


@contextmanager
def locked(
    path: Path, what: str | Path, *, wait: bool = False, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock that is the file `path`, made with its folder; the file goes at the end, and the empty folder.

    Parameters
    ----------
    path : Path
    what : str or Path
        What the lock is on, for messages.
    wait : bool
        Wait until whoever holds it is done; otherwise that is an error.
    waiting : callable, optional
        Told in words whom it waits for, again and again.

    Raises
    ------
    SpectraError
        If another process holds it and `wait` is false, or the file cannot be written.
    """
    try:
        while (handle := _take_in_folder(path)) is None and wait:
            if waiting:
                waiting(f"waiting for {_owner(path)}")
            time.sleep(_AGAIN)
    except UnlockableError:
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()
        warnings.warn(f"{what}: files cannot be locked there; work on it in one process at a time", stacklevel=3)
        yield
        return
    except OSError as error:
        with suppress(OSError):
            path.parent.rmdir()
        raise SpectraError(f"{what}: cannot be written to ({error.strerror}); choose another place") from error
    if handle is None:
        raise SpectraError(f"{what}: {_owner(path)} is working on it; let it end, or choose another place")
    try:
        with suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(_self()).encode())
        yield
    finally:
        give_back(path, handle)
        with suppress(OSError):  # there is something else in it
            path.parent.rmdir()


def take(path: Path) -> int | None:
    """The open file that holds the lock, None where another process holds it.

    Raises
    ------
    OSError
        If its folder is not there or cannot be written to; `UnlockableError` if there are no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    try:
        # Whoever held it may have removed the file: then this is the lock of a file that nobody else will open.
        if _flock(handle) and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def give_back(path: Path, handle: int) -> None:
    """Remove the file while it is still locked, then let go of it."""
    with suppress(OSError):
        path.unlink()
    os.close(handle)


def _take_in_folder(path: Path) -> int | None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return take(path)
        except (FileNotFoundError, FileExistsError):  # whoever held the lock has removed the folder with it
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise


def _flock(handle: int) -> bool:
    if "fcntl" not in globals():
        raise UnlockableError
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            raise UnlockableError from error
        raise
    return True


def _self() -> dict[str, str | int]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _owner(path: Path) -> str:
    """Who holds it, in words."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}, begun {owner['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # which has not said who it is, or is gone since
