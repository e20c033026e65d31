"""Full decompositions kept on disk, named after what they decompose, so that no base is decomposed twice.

They lie in the user's cache folder, or where ``SPECTRA_CACHE`` says; at most ``SPECTRA_CACHE_LIMIT`` GB of them (10
unless set; 0 keeps none), the least recently used going first. Each holds a checksum. Whatever is wrong with the cache
(full, read-only, damaged, cleared meanwhile) costs the time of a decomposition and never changes a result.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import platformdirs
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import SpectraError
from .files import remove_leftovers, whole_file
from .linalg import SVD, svd

# Smaller ones are decomposed again in less time than it takes to look them up (measured: 25 ms at 384 rows).
_LEAST_ROWS = 384
_PARTS = ("U", "s", "Vh")


def cached_svd(matrix: Tensor) -> SVD:
    """`linalg.svd`, from the cache where it is there, and put there where it cost something."""
    limit = _limit()
    if found := find_svd(matrix):
        return found
    # Laid out in memory as it comes from disk, so that what is computed with it rounds alike.
    found = _moved(svd(matrix), matrix.device)
    if min(matrix.shape) >= _LEAST_ROWS and limit > 0:
        with suppress(OSError, SpectraError):
            _store(_path(matrix), found, limit)
    return found


def find_svd(matrix: Tensor) -> SVD | None:
    """The decomposition of a matrix, if it is in the cache as it was put there."""
    if min(matrix.shape) < _LEAST_ROWS or not any(folder().glob(f"{_shape(matrix)}-*")):
        return None
    path = _path(matrix)
    _clean(path.parent)
    try:
        with safe_open(path, framework="pt") as file:
            noted = file.metadata()
            found = SVD(**{name: file.get_tensor(name) for name in _PARTS}, driver=noted["driver"])
            whole = noted["checksum"] == _checksum(path, found)
    except FileNotFoundError:
        return None
    except Exception:  # an entry can be damaged in any way
        whole = False
    with suppress(OSError):  # the cache may be read-only, or another user's
        if not whole:
            path.unlink()
        else:
            os.utime(path)
    return _moved(found, matrix.device) if whole else None


@dataclass(frozen=True)
class CacheInfo:
    """What is in the cache: its folder, how many decompositions, their bytes, and the limit in bytes."""

    folder: Path
    files: int
    bytes: int
    limit: int


def cache_info() -> CacheInfo:
    """What is in the cache now."""
    sizes = [size for _, size in _entries()]
    return CacheInfo(folder(), len(sizes), sum(sizes), _limit())


def clear_cache() -> CacheInfo:
    """Remove every decomposition that is not being written, and say what there was.

    Raises
    ------
    SpectraError
        If one cannot be removed.
    """
    before = cache_info()
    remove_leftovers(folder())
    for path, _ in _entries():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SpectraError(f"{path}: cannot be removed ({error.strerror}); ask whose it is") from error
    return before


def folder() -> Path:
    """Where the decompositions are kept."""
    return Path(os.environ.get("SPECTRA_CACHE") or platformdirs.user_cache_dir("spectra-weights")) / "svd"


@lru_cache
def _clean(cache: Path) -> None:
    """Once in a process: what a killed one left would stay where nothing is written any more."""
    remove_leftovers(cache)


def _limit() -> int:
    text = os.environ.get("SPECTRA_CACHE_LIMIT", "10")
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise SpectraError(f"SPECTRA_CACHE_LIMIT is {text!r}; give it a number of gigabytes, or 0 to keep none")
    return int(limit * 1e9)


def _entries() -> list[tuple[Path, int]]:
    """The decompositions and their bytes, the least recently used first; what others remove meanwhile is left out."""
    found = []
    for path in folder().glob("*.safetensors"):
        with suppress(OSError):
            if path.is_file():
                found.append((path, path.stat()))
    return [(path, stat.st_size) for path, stat in sorted(found, key=lambda entry: entry[1].st_mtime)]


def _shape(matrix: Tensor) -> str:
    return f"{matrix.shape[0]}x{matrix.shape[1]}-{str(matrix.dtype).removeprefix('torch.')}"


def _path(matrix: Tensor) -> Path:
    content = matrix.detach().cpu().contiguous().view(torch.uint8).numpy().data  # bfloat16 too
    return folder() / f"{_shape(matrix)}-{hashlib.blake2b(content, digest_size=20).hexdigest()}.safetensors"


def _moved(found: SVD, device: str | torch.device) -> SVD:
    return replace(found, **{name: getattr(found, name).to(device).contiguous() for name in _PARTS})


def _checksum(path: Path, found: SVD) -> str:
    """Of what is kept, and of the name it is kept under. Sees accidents, at a hundredth of a decomposition's time."""
    checksum = zlib.crc32(f"{path.name} {found.driver}".encode())
    for name in _PARTS:
        part = getattr(found, name)
        checksum = zlib.crc32(f"{part.dtype} {tuple(part.shape)}".encode(), checksum)
        checksum = zlib.crc32(part.numpy().data, checksum)
    return f"{checksum:08x}"


def _store(path: Path, made: SVD, limit: int) -> None:
    """Write it and make room for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _moved(made, "cpu")
    with whole_file(path) as temporary:
        noted = {"driver": kept.driver, "checksum": _checksum(path, kept)}
        save_file({name: getattr(kept, name) for name in _PARTS}, temporary, noted)
    entries = _entries()
    excess = sum(size for _, size in entries) - limit
    for entry, size in entries:
        if excess <= 0:
            break
        excess -= size
        with suppress(OSError):
            entry.unlink()
