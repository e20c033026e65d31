"""Other Python processes, for what several do at once and for what is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs the code, in which `spectra` and the tests can be imported."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@contextmanager
def waiting(code: str, word: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed the word and waits for its stdin to be closed; killed at the end of the block."""
    with start(code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line == f"{word}\n", line + process.stderr.read()
        yield process
        process.kill()
