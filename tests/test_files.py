from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spectra import SpectraError
from spectra.files import fingerprint, remove_leftovers, whole_file, whole_folder, workplace
from tests.failing import WRITES, content, each_failure, full_disk
from tests.processes import waiting


def test_the_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == ".json"
    assert path.read_text() == "half"

    def fails() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("other")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert path.read_text() == "half"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with whole_file(tmp_path / "x") as temporary:
            temporary.write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with whole_file(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    with whole_file("/dev/null") as place:
        place.write_text("gone")
    assert Path("/dev/null").is_char_device()


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpectraError, match="cannot be written"), whole_file(tmp_path / "no" / "x"):
        pass


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whatever_call_fails_the_file_is_the_old_or_the_new(tmp_path: Path, error: int) -> None:
    path = tmp_path / "x.json"

    def write() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("new")

    path.write_text("old")
    for failed in each_failure(WRITES, write, allowed=SpectraError, error=error):
        assert content(tmp_path) in ({"x.json": b"old"}, {"x.json": b"new"}), failed
        path.write_text("old")
    assert content(tmp_path) == {"x.json": b"new"}  # when nothing failed


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whatever_call_fails_the_folder_is_whole_or_not_there(tmp_path: Path, error: int) -> None:
    path = tmp_path / "model"

    def write() -> None:
        with whole_folder(path) as temporary:
            (temporary / "a").write_text("a")
            (temporary / "inside").mkdir()
            (temporary / "inside" / "b").write_text("b")

    whole = {"model/": b"", "model/a": b"a", "model/inside/": b"", "model/inside/b": b"b"}
    for failed in each_failure(WRITES, write, allowed=SpectraError, error=error):
        assert content(tmp_path) in ({}, whole), failed
        shutil.rmtree(path, ignore_errors=True)


def test_what_a_library_writes_is_one_sentence_too(tmp_path: Path) -> None:
    with (
        full_disk(5000),
        pytest.raises(SpectraError, match="safetensors: cannot be written"),
        whole_file(tmp_path / "x.safetensors") as path,
    ):
        save_file({"a": torch.zeros(10_000)}, path)
    assert content(tmp_path) == {}


@contextmanager
def _writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is in the middle of writing a file."""
    code = f"""
from spectra.files import whole_file
with whole_file({str(path)!r}) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
    with waiting(code, "writing") as process:
        yield process


def test_what_a_killed_process_left_goes_when_the_folder_is_written_to_again(tmp_path: Path) -> None:
    with _writing(tmp_path / "x.json"):
        before = content(tmp_path)
        remove_leftovers(tmp_path)
        assert content(tmp_path) == before != {}  # it is still being written
    assert content(tmp_path) == before
    with whole_file(tmp_path / "y.json") as temporary:
        temporary.write_text("whole")
    assert content(tmp_path) == {"y.json": b"whole"}


def test_a_folder_killed_before_it_was_locked_is_a_leftover_and_a_link_is_not(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("precious")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".spectra-link").symlink_to(tmp_path / "thesis")
    (tmp_path / "in" / ".spectra-bare").mkdir()
    remove_leftovers(tmp_path / "in")
    assert [path.name for path in (tmp_path / "in").iterdir()] == [".spectra-link"]
    assert content(tmp_path / "thesis") == {"chapter": b"precious"}


def test_what_another_user_left_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".spectra-x").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
        remove_leftovers(tmp_path)
    assert content(tmp_path) == {".spectra-x/": b""}
    remove_leftovers(tmp_path)  # negative control
    assert content(tmp_path) == {}


def test_where_nothing_can_be_locked_files_are_still_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with whole_file(tmp_path / "x") as temporary:
        temporary.write_text("whole")
        with whole_file(tmp_path / "y") as other:  # does not take the first for a leftover
            other.write_text("")
    assert content(tmp_path) == {"x": b"whole", "y": b""}


def test_two_that_clean_and_write_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for i in range(40):
            with workplace(tmp_path) as place:
                (place / "file").write_text(str(number))
                (place / "file").replace(tmp_path / f"{number}-{i}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(content(tmp_path)) == 8 * 40


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    first = fingerprint(path)
    assert first["bytes"] == 3
    assert first["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert fingerprint(path)["sha256"] != first["sha256"]
