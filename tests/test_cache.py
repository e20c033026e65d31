from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spectra.cache import cache_info, cached_svd, clear_cache, find_svd, folder
from spectra.errors import SpectraError


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
    assert found.driver == made.driver
    assert cache_info().files == 1


def test_other_content_and_other_precision_are_others() -> None:
    cached_svd(_matrix())
    assert find_svd(_matrix(1)) is None
    assert find_svd(_matrix().double()) is None


def test_a_damaged_file_is_made_again() -> None:
    cached_svd(_matrix())
    (file,) = folder().iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert find_svd(_matrix()) is None
    assert not file.exists()
    cached_svd(_matrix())
    assert find_svd(_matrix()) is not None


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_svd(_matrix(0))
    size = cache_info().bytes
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", str(2.5 * size / 1e9))
    cached_svd(_matrix(1))
    import os

    for file in folder().iterdir():
        os.utime(file, (0, 0))
    assert find_svd(_matrix(0)) is not None  # used now
    cached_svd(_matrix(2))
    assert [find_svd(_matrix(seed)) is not None for seed in range(3)] == [True, False, True]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", "0")
    cached_svd(_matrix())
    assert cache_info().files == 0
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", "much")
    with pytest.raises(SpectraError, match="SPECTRA_CACHE_LIMIT is 'much'; give it a number of gigabytes"):
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
