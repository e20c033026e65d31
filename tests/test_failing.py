from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.failing import READS, WRITES, each_failure, failing, full_disk


def test_each_call_fails_once(tmp_path: Path) -> None:
    path = tmp_path / "x"
    failed = [what.split()[0] for what in each_failure(WRITES, lambda: path.write_text("text"), allowed=OSError)]
    assert failed == ["open", "write"]
    failed = [what.split()[0] for what in each_failure(READS, path.read_text, allowed=OSError)]
    assert failed[:2] == ["open", "read"]


def test_what_is_not_allowed_comes_out(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        next(each_failure(WRITES, (tmp_path / "x").touch, allowed=ValueError, error=errno.EIO))


def test_an_action_that_cannot_fail_is_no_test() -> None:
    with pytest.raises(AssertionError, match="no call of"):
        next(each_failure(WRITES, lambda: None, allowed=OSError))


def test_all_is_as_it_was_after(tmp_path: Path) -> None:
    with failing(WRITES, 1), pytest.raises(OSError, match="No space"):
        (tmp_path / "x").write_text("")
    (tmp_path / "x").write_text("")


def test_a_full_disk_reaches_what_is_not_written_by_python(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(10_000)}
    with full_disk(5000), pytest.raises(SafetensorError):
        save_file(tensors, tmp_path / "x.safetensors")
    save_file(tensors, tmp_path / "x.safetensors")
