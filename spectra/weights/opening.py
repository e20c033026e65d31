"""Open anything that holds weights: a file, a directory, a hub id, an adapter, a module, a state dict."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import CheckpointError
from .adapter import Adapter, adapter_from
from .checkpoint import Checkpoint
from .config import Config, read_config
from .file_tensors import is_there
from .hub import looks_like_hub_id, snapshot
from .live import from_module, from_state_dict
from .safetensors_files import open_safetensors
from .shards import shard_files
from .stored import Stored
from .torch_files import open_torch

# A file format is one row here and one function from a path to its tensors.
FORMATS: dict[str, Callable[[Path], dict[str, Stored]]] = {
    ".safetensors": open_safetensors,
    ".pt": open_torch,
    ".pth": open_torch,
    ".bin": open_torch,
    ".ckpt": open_torch,
}
# Where a directory keeps its weights, in the order of preference that transformers has.
_WEIGHTS = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# What trainers leave beside the weights.
_NOT_WEIGHTS = re.compile(r"^(training_args|optimizer|scheduler|scaler|rng_state.*|.*_optim(izer)?|.*_scheduler)\.")


def open_checkpoint(source: Any) -> Checkpoint | Adapter:
    """Open a checkpoint without reading its weights.

    Parameters
    ----------
    source : str, Path, Mapping, torch.nn.Module, Checkpoint or Adapter
        A ``.safetensors``, ``.pt``, ``.pth``, ``.bin`` or ``.ckpt`` file, a shard index, a transformers or PEFT LoRA
        directory, a hub id (``org/name`` or ``org/name@revision``), a state dict, a module or a PEFT model.

    Raises
    ------
    CheckpointError
        If there is nothing there, or it cannot be opened as weights.
    """
    if isinstance(source, (Checkpoint, Adapter)):
        return source
    if isinstance(source, (nn.Module, Mapping)):
        return from_module(source) if isinstance(source, nn.Module) else from_state_dict(source)
    if not isinstance(source, (str, Path)):
        raise CheckpointError(
            f"cannot open a {type(source).__name__} as a checkpoint; pass a path, a hub id, a module or a state dict"
        )
    label, path, revision = str(source), Path(source).expanduser(), None
    if not is_there(path):
        if not looks_like_hub_id(label):
            raise CheckpointError(f"{label}: no such file or directory")
        path, revision = snapshot(label)
    return _open_directory(label, path, revision) if path.is_dir() else _open_file(label, path)


def _open_file(label: str, path: Path) -> Checkpoint:
    try:
        config = _config_in(path.parent)
    except CheckpointError:
        config = Config({}, "")  # whose it is, beside a single file, is a guess anyway
    if path.name.endswith(".index.json"):
        return _open_files(label, "shards", shard_files(path, FORMATS), config, None)
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise CheckpointError(
            f"{label}: not a format spectra reads ({known}, or a directory); convert it to safetensors"
        )
    if path.stem.startswith("adapter_model") and is_there(path.parent / "adapter_config.json"):
        raise CheckpointError(
            f"{label}: an adapter's factors need their adapter_config.json; pass the directory {path.parent}"
        )
    return Checkpoint.of(label, path.suffix.removeprefix("."), FORMATS[path.suffix.lower()](path), config, (path,))


def _open_files(label: str, kind: str, files: list[Path], config: Config, revision: str | None) -> Checkpoint:
    tensors: dict[str, Stored] = {}
    for file in files:
        for name, stored in FORMATS[file.suffix.lower()](file).items():
            if name in tensors:
                raise CheckpointError(
                    f"{label}: tensor {name!r} is in {stored.where} and {tensors[name].where}; pass one file"
                )
            tensors[name] = stored
    return Checkpoint.of(label, kind, tensors, config, tuple(files), revision)


def _open_directory(label: str, directory: Path, revision: str | None) -> Checkpoint | Adapter:
    if is_there(directory / "adapter_config.json"):
        for name in _ADAPTER_WEIGHTS:
            if is_there(file := directory / name):
                tensors = FORMATS[file.suffix](file)
                config = read_config(directory / "adapter_config.json")
                return adapter_from(label, tensors, config, files=(file,), revision=revision)
        if not any(is_there(directory / name) for name in _WEIGHTS):  # else it was merged, and the config left behind
            raise CheckpointError(
                f"{label}: an adapter_config.json but no adapter weights ({' or '.join(_ADAPTER_WEIGHTS)})"
            )
    config = _config_in(directory)
    for name in _WEIGHTS:
        if is_there(file := directory / name):
            kind = "transformers directory"
            files = shard_files(file, FORMATS) if name.endswith(".json") else [file]
            return _open_files(label, kind, files, config, revision)
    for pattern in ("*.safetensors", "*.bin", "*.pt", "*.pth"):
        if files := sorted(file for file in directory.glob(pattern) if _holds_weights(file)):
            return _open_files(label, "directory", files, config, revision)
    if named := sorted(folder.parent.name for folder in directory.glob("[!.]*/adapter_config.json")):
        raise CheckpointError(f"{label}: the adapters are in its folders; pass one of {', '.join(named)}")
    raise CheckpointError(f"{label}: the directory holds no weights ({', '.join(_WEIGHTS)} or an adapter)")


def _holds_weights(file: Path) -> bool:
    # Hidden files are the system's: a Mac keeps ._model.safetensors beside model.safetensors.
    return not file.name.startswith(".") and not _NOT_WEIGHTS.match(file.name)


def _config_in(directory: Path) -> Config:
    """The model's config; empty where there is none."""
    path = directory / "config.json"
    return read_config(path) if is_there(path) else Config({}, str(path))
