from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from cli.exits import exit_code
from spectra import CheckpointError, ResultError
from tests.cli.conftest import Spectra
from tests.test_escaping import NAMES, is_harmless


def _raise(error: BaseException) -> Callable[..., Any]:
    def raising(*args: object, **options: object) -> None:
        raise error

    return raising


ENDS: list[tuple[Callable[[], Any], int, str]] = [
    (lambda: None, 0, ""),
    (_raise(SystemExit()), 0, ""),
    (_raise(click.exceptions.Exit(0)), 0, ""),
    (_raise(SystemExit(1)), 1, ""),
    (_raise(CheckpointError("x.pt: damaged")), 2, "spectra: error: x.pt: damaged\n"),
    (_raise(ResultError("x.json: damaged")), 2, "spectra: error: x.json: damaged\n"),
    (_raise(click.UsageError("no such option")), 2, "Error: no such option\n"),
    (_raise(PermissionError(13, "Permission denied", "x.pt")), 2, "spectra: error: x.pt: Permission denied; make room, or choose another place\n"),
    (_raise(OSError(28, "No space left on device")), 2, "spectra: error: the output: No space left on device; make room, or choose another place\n"),
    (_raise(MemoryError()), 2, "not enough memory"),
    (_raise(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")), 2, "not enough memory"),
    (_raise(torch.OutOfMemoryError("CUDA out of memory")), 2, "not enough memory"),
    (_raise(ZeroDivisionError("division by zero")), 3, "ZeroDivisionError: division by zero\nspectra: this is a bug"),
    (_raise(EOFError("half")), 3, "SPECTRA_TRACEBACK=1"),
    (_raise(RecursionError()), 3, "this is a bug"),
    (_raise(KeyboardInterrupt()), 130, "spectra: interrupted\n"),
    (_raise(click.Abort()), 130, "spectra: interrupted\n"),
    (_raise(BrokenPipeError(32, "Broken pipe")), 141, ""),
]  # fmt: skip


@pytest.mark.parametrize(("run", "code", "message"), ENDS)
def test_each_end_has_its_code_and_its_line(
    run: Callable[[], Any], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(run) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert bool(err) == bool(message)
    assert "Traceback" not in err


def test_a_traceback_can_be_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_TRACEBACK", "1")
    assert exit_code(_raise(KeyError("x"))) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [CheckpointError, click.UsageError, KeyError, OSError])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_messages_are_harmless(kind: type[Exception], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(_raise(kind(f"{name}: damaged")))
    lines = capsys.readouterr().err.splitlines()
    assert all(map(is_harmless, lines))
    if kind is CheckpointError:
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("compare", "base.safetensors", "tuned.safetensors"), 0),
        (("compare", "base.safetensors", "tuned.safetensors", "--fail-over", 0), 1),
        (("compare", "base.safetensors", "tuned.safetensors", "--fail-over", 1000), 0),
        (("compare", "base.safetensors", "absent.safetensors"), 2),
        (("compare", "base.safetensors"), 2),
        (("compare", "base.safetensors", "base.safetensors"), 2),
        (("nonsense",), 2),
        (("--version",), 0),
        (("report", "absent.json", "-o", "r.html"), 2),
        (("inspect", "base.safetensors", "-o", "absent/x.json"), 2),
    ],
)
def test_commands_end_with_the_documented_codes(spectra: Spectra, arguments: tuple[Any, ...], code: int) -> None:
    result = spectra(*arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.stderr


def test_one_useless_of_many_is_reported_with_the_others(spectra: Spectra, tmp_path: Path) -> None:
    result = spectra(
        "compare", "base.safetensors", "absent.pt", "base.safetensors", "tuned.safetensors", "--fail-over", 0
    )
    assert result.exit_code == 2
    assert "nothing was compared: absent.pt" in " ".join(result.stdout.split())
    assert "tuned.safetensors  against  base.safetensors" in result.stdout
    lines = result.stderr.splitlines()
    assert lines[0].startswith("spectra: error: absent.pt")
    assert "all 4 matrices are equal" in lines[1]
    assert lines[2].startswith("spectra: tuned.safetensors: ")


def _run(folder: Path, *arguments: str, stdout: Any) -> subprocess.CompletedProcess[str]:
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, cwd=folder, env=paths, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


COMMANDS = [("--help",), ("inspect", "base.safetensors"), ("compare", "base.safetensors", "tuned.safetensors", "-q")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_reader_that_has_left_is_no_error(spectra: Spectra, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = _run(tmp_path, *arguments, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_full_disk_is_a_sentence(spectra: Spectra, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = _run(tmp_path, *arguments, stdout=full)
    assert ended.returncode == 2
    assert ended.stderr == "spectra: error: the output: No space left on device; make room, or choose another place\n"
