"""Progress on stderr: a bar in a terminal, a line now and then elsewhere; nothing for what takes under a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spectra.escaping import printable

_LINE_EVERY = 15.0  # seconds between lines in a log
_LONGEST = 200  # characters of a name


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
                seconds = f"{last - started:.0f} s"
                click.echo(f"{what}: {done}/{total} after {seconds} ({printable(name, _LONGEST)})", err=True)

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
        bar.update(task, completed=done, total=total, description=printable(name, _LONGEST))

    try:
        yield draw
    finally:
        bar.stop()
