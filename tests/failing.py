"""Make the n-th read or write of a piece of code fail, for every n there is.

    for n in each_failure(WRITES, lambda: result.write(path), allowed=SpectraError):
        assert path.read_bytes() in (old, new)

Python's own files are made of its slow twins (`_pyio`), so that each goes through `os.open`, `os.read` and `os.write`.
What a library writes past Python (safetensors, torch, arrow) is failed by `full_disk`, a limit on the size of a file.
"""

from __future__ import annotations

import _pyio
import builtins
import errno
import io
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

READS = ("open to read", "read")
WRITES = ("open to write", "write", "mkdir", "rename", "replace", "fsync", "chmod")
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Failing:
    """Counts calls of the named kinds, and fails the one whose number is given, or kills the process there."""

    def __init__(self, kinds: tuple[str, ...], number: int, error: int | None) -> None:
        self.kinds, self.number, self.error = kinds, number, error
        self.calls: list[str] = []

    @property
    def failed(self) -> bool:
        return len(self.calls) >= self.number

    def call(self, kind: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if kind in self.kinds:
            self.calls.append(f"{kind} {args[0]}")
            if len(self.calls) == self.number:
                if self.error is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                    raise AssertionError("killed")
                raise OSError(self.error, os.strerror(self.error), str(args[0]))
        return function(*args, **options)


@contextmanager
def failing(kinds: tuple[str, ...], number: int, error: int | None = errno.ENOSPC) -> Iterator[Failing]:
    """Within the block, the call of that number, from 1 on, of any of the kinds fails with the error; None kills."""
    state = Failing(kinds, number, error)
    true = {
        name: getattr(os, name) for name in ("open", "read", "write", "mkdir", "rename", "replace", "fsync", "chmod")
    }

    def opened(path: Any, flags: int, *args: Any, **options: Any) -> Any:
        return state.call(
            "open to write" if flags & _CHANGES else "open to read", true["open"], path, flags, *args, **options
        )

    with pytest.MonkeyPatch.context() as patch:
        for name, real in true.items():
            patch.setattr(os, name, lambda *args, _n=name, _r=real, **options: state.call(_n, _r, *args, **options))
        patch.setattr(os, "open", opened)
        patch.setattr(builtins, "open", _pyio.open)
        patch.setattr(io, "open", _pyio.open)
        yield state


def each_failure(
    kinds: tuple[str, ...],
    action: Callable[[], Any],
    *,
    allowed: type[Exception] | tuple[type[Exception], ...],
    error: int = errno.ENOSPC,
    every: int = 1,
    most: int = 2000,
) -> Iterator[str]:
    """Run the action with its first, second, … call failing, until it has none left; yield what failed, after each.

    Where the action takes seconds, `every` leaves some out.

    Nothing but `allowed` may come out of it, and something has to fail at all.
    """
    for number in range(1, most, every):
        with failing(kinds, number, error) as state, suppress(*allowed if isinstance(allowed, tuple) else (allowed,)):
            action()
        if not state.failed:
            assert number > 1, f"the action makes no call of {', '.join(kinds)}"
            return
        yield state.calls[number - 1]
    raise AssertionError(f"more than {most} calls")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Within the block no file grows beyond so many bytes, whoever writes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, hidden ones too, and its bytes; folders end in a slash."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*"))}
    return {
        f"{name}/" if path.is_dir() else name: b"" if path.is_dir() else path.read_bytes()
        for name, path in found.items()
    }
