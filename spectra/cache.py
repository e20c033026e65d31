"""Full decompositions kept on disk, named after what they decompose, so that no base is decomposed twice.

They lie in the user's cache folder, or where ``SPECTRA_CACHE`` says; at most ``SPECTRA_CACHE_LIMIT`` GB of them (10
unless set; 0 keeps none), the least recently used going first.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import SpectraError
from .files import whole_file
from .linalg import SVD, svd

# Smaller ones are decomposed again in less time than it takes to look them up (measured: 25 ms at 384 rows).
_LEAST_ROWS = 384


def cached_svd(matrix: Tensor) -> SVD:
    """`linalg.svd`, from the cache where it is there, and put there where it cost something."""
    if found := find_svd(matrix):
        return found
    found = svd(matrix)
    if min(matrix.shape) >= _LEAST_ROWS and _limit() > 0:
        _store(_path(matrix), found)
    return found


def find_svd(matrix: Tensor) -> SVD | None:
    """The decomposition of a matrix, if it is in the cache."""
    if min(matrix.shape) < _LEAST_ROWS or not any(folder().glob(f"{_shape(matrix)}-*")):
        return None
    path = _path(matrix)
    try:
        with safe_open(path, framework="pt", device=str(matrix.device)) as file:
            parts = {name: file.get_tensor(name) for name in ("U", "s", "Vh")}
            driver = file.metadata()["driver"]
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, TypeError, OSError):
        path.unlink(missing_ok=True)  # damaged: made again
        return None
    os.utime(path)
    return SVD(**parts, driver=driver)


@dataclass(frozen=True)
class CacheInfo:
    """What is in the cache: its folder, how many decompositions, their bytes, and the limit in bytes."""

    folder: Path
    files: int
    bytes: int
    limit: int


def cache_info() -> CacheInfo:
    """What is in the cache now."""
    sizes = [path.stat().st_size for path in _files()]
    return CacheInfo(folder(), len(sizes), sum(sizes), _limit())


def clear_cache() -> CacheInfo:
    """Remove every decomposition, and say what there was."""
    before = cache_info()
    for path in _files():
        path.unlink(missing_ok=True)
    return before


def folder() -> Path:
    """Where the decompositions are kept."""
    return Path(os.environ.get("SPECTRA_CACHE") or platformdirs.user_cache_dir("spectra-weights")) / "svd"


def _limit() -> int:
    text = os.environ.get("SPECTRA_CACHE_LIMIT", "10")
    try:
        return int(float(text) * 1e9)
    except ValueError as error:
        raise SpectraError(f"SPECTRA_CACHE_LIMIT is {text!r}; give it a number of gigabytes") from error


def _files() -> list[Path]:
    return sorted(folder().glob("*.safetensors"), key=lambda path: path.stat().st_mtime)


def _shape(matrix: Tensor) -> str:
    return f"{matrix.shape[0]}x{matrix.shape[1]}-{str(matrix.dtype).removeprefix('torch.')}"


def _path(matrix: Tensor) -> Path:
    content = matrix.detach().cpu().contiguous().numpy().data
    return folder() / f"{_shape(matrix)}-{hashlib.blake2b(content, digest_size=20).hexdigest()}.safetensors"


def _store(path: Path, found: SVD) -> None:
    """Write it and make room for it; a cache that cannot be written to is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            parts = {"U": found.U, "s": found.s, "Vh": found.Vh}
            save_file(
                {name: part.cpu().contiguous() for name, part in parts.items()}, temporary, {"driver": found.driver}
            )
        files = _files()
        excess = sum(file.stat().st_size for file in files) - _limit()
        for file in files:
            if excess <= 0:
                break
            excess -= file.stat().st_size
            file.unlink(missing_ok=True)
    except (OSError, SpectraError):
        return
