"""`.pt`, `.pth`, `.bin` and `.ckpt` files: unpickled with ``weights_only``, so that nothing in them can run."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .safetensors_files import refuse_placeholder
from .stored import WRAPPERS, Stored, find_state_dict, in_memory, storage_key

_REMAP_AFTER = 16 << 20  # bytes: a few matrices of any size, or thousands of small ones


def open_torch(path: Path) -> dict[str, Stored]:
    """The tensors of one file, by name; those of the first wrapped state dict where there is one.

    Raises
    ------
    CheckpointError
        If the file is empty or damaged, would run code when unpickled, or holds no state dict.
    """
    refuse_placeholder(path)
    loaded, lazy = _load(path)
    tensors = _state_dict(loaded, path)
    if not lazy:
        return {name: in_memory(tensor, f"{path}: {name}") for name, tensor in tensors.items()}
    return {
        name: Stored(
            tuple(tensor.shape),
            tensor.dtype,
            partial(_read, path, name),
            f"{path}: {name}",
            # With the path, as the next file may be mapped where this one was.
            (path, storage_key(tensor)),
        )
        for name, tensor in tensors.items()
    }


def _load(path: Path) -> tuple[Any, bool]:
    """The unpickled file, and whether its tensors are still on disk."""
    try:
        # The old format, not a zip archive, cannot be mapped; it is then held in memory whole.
        lazy = _is_zip(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the pickle's protocol, of no use to whoever compares weights
            return torch.load(path, map_location="cpu", weights_only=True, mmap=lazy), lazy
    except pickle.UnpicklingError as error:
        text = str(error)
        if "Unsupported global" in text or "GLOBAL" in text or "not allowed" in text:
            raise CheckpointError(
                f"{path}: refused, because it holds Python objects that would run code when loaded; "
                "save its state dict alone, or convert it to safetensors"
            ) from error
        raise _damaged(path, error) from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> CheckpointError:
    first_line = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return CheckpointError(f"{path}: not a readable PyTorch file ({first_line}); download or save it again")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    tensors = find_state_dict(loaded) if isinstance(loaded, Mapping) else {}
    if not tensors:
        raise CheckpointError(
            f"{path}: holds no state dict (a mapping of names to tensors), at the top or under "
            f"{', '.join(WRAPPERS)}; save model.state_dict()"
        )
    return tensors


@dataclass
class _Mapped:
    """A mapped file. Pages that were read stay in memory until it is mapped anew, so that is done now and then."""

    path: Path
    tensors: dict[str, Tensor]
    bytes_read: int = 0

    def read(self, name: str, index: int | None) -> Tensor:
        if self.bytes_read > _REMAP_AFTER:
            self.tensors, self.bytes_read = _state_dict(_load(self.path)[0], self.path), 0
        tensor = self.tensors[name] if index is None else self.tensors[name][index]
        self.bytes_read += tensor.numel() * tensor.element_size()
        return tensor


# The base's and the tuned one's, however many shards there are.
@lru_cache(maxsize=2)
def _mapped(path: Path, mtime_ns: int, size: int) -> _Mapped:
    return _Mapped(path, _state_dict(_load(path)[0], path))


def _read(path: Path, name: str, index: int | None) -> Tensor:
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read any more ({error.strerror})") from error
    return _mapped(path, stat.st_mtime_ns, stat.st_size).read(name, index)
