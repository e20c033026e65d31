"""A checkpoint in several files: what its ``*.index.json`` says."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from ..errors import CheckpointError
from .config import read_config
from .file_tensors import is_there


def shard_names(index: Path, endings: Container[str]) -> list[str]:
    """The files that an index names, each checked to be a name of a weights file and not a path.

    Raises
    ------
    CheckpointError
        If the index is not JSON, has no weight map, or points outside its folder or to no weights.
    """
    weight_map = read_config(index).section("weight_map")
    if not weight_map:
        raise CheckpointError(f"{index}: not a shard index with a weight_map; save the checkpoint again")
    names = weight_map.values()
    for name in names:
        if not isinstance(name, str) or "\\" in name or Path(name).name != name:
            raise CheckpointError(
                f"{index}: shard {str(name)[:100]!r} does not lie beside the index; refusing to follow it"
            )
        if Path(name).suffix.lower() not in endings:
            raise CheckpointError(
                f"{index}: shard {name[:100]!r} is no file of weights by its ending; save the checkpoint again"
            )
    return sorted(set(names))


def shard_files(index: Path, endings: Container[str]) -> list[Path]:
    """The files that an index names, which all have to be there; see `shard_names`."""
    names = shard_names(index, endings)
    for name in names:
        if not is_there(index.parent / name):
            raise CheckpointError(f"{index}: shard {name[:100]!r} is missing; download it or save the checkpoint again")
    return [index.parent / name for name in names]
