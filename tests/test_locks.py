from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from spectra import SpectraError
from spectra.locks import locked
from tests.failing import WRITES, content, each_failure
from tests.processes import waiting


@contextmanager
def _holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is told to end, or killed."""
    code = f"""
from pathlib import Path
from spectra.locks import locked
with locked(Path({str(path)!r}), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""
    with waiting(code, "held") as process:
        yield process


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "inside" / "lock"
    with _holding(path) as process:
        expected = (
            rf"^runs/a: process {process.pid} on {socket.gethostname()}, begun \S+ \S+, is working on it; let it end"
        )
        with pytest.raises(SpectraError, match=expected), locked(path, "runs/a"):
            pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_its_owner_releases_it(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "lock"
    with _holding(path) as process:
        process.send_signal(end)
        assert process.wait() == -end
    assert path.exists()  # negative control: the file is still there, and in nobody's way
    with locked(path, "it"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert content(tmp_path) == {}


def test_the_second_can_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told: list[str] = []
    with _holding(path) as process:
        threading.Timer(0.3, process.kill).start()
        with locked(path, "it", wait=True, waiting=told.append):
            assert process.wait() == -signal.SIGKILL
    assert len(told) > 1  # again and again, for a log
    assert told[0].startswith(f"waiting for process {process.pid} on ")


def test_no_two_hold_it_though_each_removes_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "inside" / "lock"
    inside: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            with locked(path, "it", wait=True):
                inside.append(number)
                assert inside == [number]
                inside.remove(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_where_nothing_can_be_locked_there_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="it: files cannot be locked there"), locked(tmp_path / "lock", "it"):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(SpectraError, match="it: cannot be written to"), locked(tmp_path / "lock", "it"):
        pass
    assert (tmp_path / "thesis").read_text() == "precious"


def test_whatever_call_fails_nothing_is_left(tmp_path: Path) -> None:
    def hold() -> None:
        with locked(tmp_path / "inside" / "lock", "it"):
            pass

    for failed in each_failure(WRITES, hold, allowed=SpectraError):
        assert content(tmp_path) == {}, failed
