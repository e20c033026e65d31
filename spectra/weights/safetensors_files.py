"""`.safetensors` files, single or sharded, read one tensor at a time."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .stored import Stored

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def open_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of one file, by name.

    Raises
    ------
    CheckpointError
        If the file is empty, truncated, not safetensors, or holds no tensor.
    """
    refuse_placeholder(path)
    try:
        with safe_open(path, framework="pt") as handle:
            header = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
            tensors = {
                name: Stored(
                    tuple(view.get_shape()),
                    # An unknown code is reported as a matrix that cannot be read, not as an unreadable file.
                    _DTYPES.get(view.get_dtype(), torch.uint8),
                    partial(_read, path, name),
                    f"{path}: {name}",
                )
                for name, view in header.items()
            }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); it is truncated or damaged, download or save it again"
        ) from error
    if not tensors:
        raise CheckpointError(f"{path}: the file holds no tensors; save the checkpoint again")
    return tensors


def refuse_placeholder(path: Path) -> None:
    """Raise on files that are not there yet: zero bytes, or a git-lfs pointer."""
    try:
        with path.open("rb") as file:
            head = file.read(40)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty (0 bytes); download or save it again")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: a git-lfs pointer, not the weights; run `git lfs pull`")


def _read(path: Path, name: str, index: int | None) -> Tensor:
    # Opened anew for each tensor: closing the file unmaps it, so pages already read do not pile up in memory.
    try:
        with safe_open(path, framework="pt") as handle:
            tensor: Tensor = handle.get_tensor(name) if index is None else handle.get_slice(name)[index]
            return tensor
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: tensor {name!r} cannot be read ({error})") from error


def shard_names(index: Path) -> list[Path]:
    """The shard files that a ``*.index.json`` names, each checked to lie beside it.

    Raises
    ------
    CheckpointError
        If the index is not JSON, has no weight map, points outside its folder, or names a shard that is missing.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index}: not a shard index with a weight_map; save the checkpoint again") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index}: shard {name!r} does not lie beside the index; refusing to follow it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: shard {name!r} is missing; download it or save the checkpoint again")
    if not names:
        raise CheckpointError(f"{index}: the weight_map is empty; save the checkpoint again")
    return [index.parent / name for name in names]
