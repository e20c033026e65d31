from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from spectra import SpectraError
from spectra.files import fingerprint, whole_file


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


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    first = fingerprint(path)
    assert first["bytes"] == 3
    assert first["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert fingerprint(path)["sha256"] != first["sha256"]
