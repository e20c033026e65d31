from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spectra.cache import _clean, cache_info, cached_svd, clear_cache, find_svd, folder
from spectra.errors import SpectraError
from spectra.files import workplace
from tests.failing import WRITES, each_failure, full_disk
from tests.processes import start


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPECTRA_CACHE", str(tmp_path))
    monkeypatch.setattr("spectra.cache._LEAST_ROWS", 8)


def _matrix(seed: int = 0) -> torch.Tensor:
    return torch.randn(12, 9, generator=torch.Generator().manual_seed(seed))


def test_found_again_and_equal() -> None:
    assert find_svd(_matrix()) is None
    made = cached_svd(_matrix())
    found = find_svd(_matrix().T.contiguous().T)  # the same content in another layout
    assert found is not None
    for name in ("U", "s", "Vh"):
        assert torch.equal(getattr(found, name), getattr(made, name))
        assert getattr(found, name).stride() == getattr(made, name).stride()  # so products round alike
    assert found.driver == made.driver
    assert cache_info().files == 1


def test_other_content_and_other_precision_are_others() -> None:
    cached_svd(_matrix())
    assert find_svd(_matrix(1)) is None
    assert find_svd(_matrix().double()) is None


def _flip(file: Path) -> None:
    """One exponent bit of the first number of U."""
    content = bytearray(file.read_bytes())
    with safe_open(file, "pt") as opened:
        first = opened.get_tensor("U").flatten()[:1].numpy().tobytes()
    content[content.index(first) + 3] ^= 0x20
    file.write_bytes(content)


def _zero(file: Path) -> None:
    """As a power cut leaves a file that was never synced."""
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    file.write_bytes(content[:header] + bytes(len(content) - header))


def _in_another_place(file: Path) -> None:
    """The entry of another matrix of that shape, sound in itself."""
    cached_svd(_matrix(1))
    (other,) = (path for path in folder().iterdir() if path != file)
    other.replace(file)


def _rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], None], **noted: str) -> None:
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    parts = load_file(file)
    change(parts)
    save_file(parts, file, {**metadata, **noted})


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "empty": lambda file: file.write_bytes(b""),
    "one bit": _flip,
    "zeros": _zero,
    "of another matrix": _in_another_place,
    "another shape": lambda file: _rewrite(file, lambda parts: parts.update(U=parts["U"].T.contiguous())),
    "another precision": lambda file: _rewrite(file, lambda parts: parts.update(s=parts["s"].double())),
    "NaN": lambda file: _rewrite(file, lambda parts: parts["s"].fill_(math.nan)),
    "a part missing": lambda file: _rewrite(file, lambda parts: parts.__delitem__("Vh")),
    "another driver": lambda file: _rewrite(file, lambda parts: None, driver="gesvd"),
    "no checksum": lambda file: save_file(load_file(file), file, {"driver": "gesdd"}),
    "no metadata": lambda file: save_file(load_file(file), file),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_entry_is_made_again(damage: Callable[[Path], None]) -> None:
    made = cached_svd(_matrix())
    (file,) = folder().iterdir()
    assert find_svd(_matrix()) is not None  # negative control
    damage(file)
    assert find_svd(_matrix()) is None
    assert not file.exists()
    again = cached_svd(_matrix())
    assert all(torch.equal(getattr(again, name), getattr(made, name)) for name in ("U", "s", "Vh"))
    assert find_svd(_matrix()) is not None


def _expect_the_right_result() -> None:
    assert torch.allclose(cached_svd(_matrix()).s, torch.linalg.svdvals(_matrix()), atol=1e-5)


def test_a_folder_or_a_link_in_an_entrys_place_costs_time_and_never_the_result(tmp_path: Path) -> None:
    cached_svd(_matrix())
    (file,) = folder().iterdir()
    file.unlink()
    (file / "inside").mkdir(parents=True)
    _expect_the_right_result()
    assert cache_info().files == 0
    assert clear_cache().files == 0
    (file / "inside").rmdir()
    file.rmdir()
    file.symlink_to(tmp_path / "nowhere")
    _expect_the_right_result()


@pytest.mark.parametrize("there", ["nothing", "sound", "damaged"])
def test_a_cache_that_may_only_be_read_costs_time_and_never_the_result(
    monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    if there != "nothing":
        cached_svd(_matrix())
    if there == "damaged":
        _zero(next(folder().iterdir()))

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("utime", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    _expect_the_right_result()
    assert cache_info().files == (there != "nothing")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_whatever_call_fails_the_result_is_right_and_nothing_half_is_left(error: int) -> None:
    for failed in each_failure(WRITES, _expect_the_right_result, allowed=AssertionError, error=error):
        _expect_the_right_result()
        assert all(path.suffix == ".safetensors" for path in folder().iterdir()), failed
        clear_cache()


def test_a_full_disk_is_no_reason_to_fail() -> None:
    with full_disk(700):
        _expect_the_right_result()
    assert cache_info().files == 0
    assert list(folder().iterdir()) == []


def test_an_entry_that_cannot_be_removed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_svd(_matrix())

    def refuse(path: object, *args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(SpectraError, match="cannot be removed"):
        clear_cache()


def test_what_is_being_written_is_neither_counted_nor_cleared_nor_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_svd(_matrix(0))
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", "1e-9")
    with workplace(folder()) as place:
        (place / "x.safetensors").write_bytes(b"half")
        assert cache_info().files == 1
        cached_svd(_matrix(1))  # evicts all it may
        assert clear_cache().files == 0
        assert (place / "x.safetensors").exists()
    assert list(folder().iterdir()) == []


def test_what_a_killed_process_left_goes_though_nothing_is_written_any_more() -> None:
    cached_svd(_matrix())
    (folder() / ".spectra-x").mkdir()
    _clean.cache_clear()  # as in a new process
    assert find_svd(_matrix()) is not None
    assert [path.suffix for path in folder().iterdir()] == [".safetensors"]


def test_processes_that_write_evict_and_clear_at_once_all_get_the_right_result(tmp_path: Path) -> None:
    code = """
import torch
from spectra import cache
cache._LEAST_ROWS = 8
torch.set_num_threads(1)
for i in range(120):
    W = torch.randn(40, 30, generator=torch.Generator().manual_seed(i % 5))
    found = cache.cached_svd(W)
    assert torch.allclose((found.U * found.s) @ found.Vh, W, atol=1e-4)
    if i % int(sys.argv[1]) == 0:
        cache.clear_cache()
"""
    # Room for three entries.
    processes = [start(code, every, SPECTRA_CACHE_LIMIT="3e-5") for every in ("2", "7", "1000")]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 3
    assert all(path.suffix == ".safetensors" for path in folder().iterdir())


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_svd(_matrix(0))
    size = cache_info().bytes
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", str(2.5 * size / 1e9))
    cached_svd(_matrix(1))
    for file in folder().iterdir():
        os.utime(file, (0, 0))
    assert find_svd(_matrix(0)) is not None  # used now
    cached_svd(_matrix(2))
    assert [find_svd(_matrix(seed)) is not None for seed in range(3)] == [True, False, True]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", "0")
    cached_svd(_matrix())
    assert cache_info().files == 0


@pytest.mark.parametrize("limit", ["much", "", "inf", "-inf", "nan", "-1", "1e999"])
def test_a_limit_that_is_no_number_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", limit)
    monkeypatch.setattr("spectra.cache.svd", lambda matrix: pytest.fail("decomposed"))
    with pytest.raises(SpectraError, match=f"SPECTRA_CACHE_LIMIT is '{limit}'; give it a number of gigabytes"):
        cached_svd(_matrix())


def test_small_matrices_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spectra.cache._LEAST_ROWS", 10)
    cached_svd(_matrix())
    assert cache_info().files == 0


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPECTRA_CACHE", str(tmp_path / "file" / "inside"))
    assert torch.allclose(cached_svd(_matrix()).s, torch.linalg.svdvals(_matrix()))


def test_clear() -> None:
    cached_svd(_matrix(0))
    cached_svd(_matrix(1))
    assert clear_cache().files == 2
    assert cache_info().files == cache_info().bytes == 0
