"""Progress on stderr: a bar in a terminal, a line now and then elsewhere; nothing for what takes under a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY = 15.0  # seconds between lines in a log


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A function of (done, total, name) to report to, or None when `quiet`."""
    if quiet:
        yield None
        return
    console = Console(stderr=True)
    started = time.monotonic()
    if not console.is_terminal:
        last = started

        def line(done: int, total: int, name: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY:
                last = time.monotonic()
                print(f"{what}: {done}/{total} after {last - started:.0f} s ({name})", file=sys.stderr, flush=True)

        yield line
        return
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=None)

    def draw(done: int, total: int, name: str) -> None:
        if not bar.live.is_started and time.monotonic() - started > 1.0:
            bar.start()
        bar.update(task, completed=done, total=total, description=name)

    try:
        yield draw
    finally:
        bar.stop()
