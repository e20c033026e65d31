"""A checkpoint: named tensors that are read one at a time, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .config import Config
from .names import strip_wrappers
from .stored import Stored


@dataclass(frozen=True)
class Checkpoint:
    """Weights that can be read a tensor at a time.

    Attributes
    ----------
    label : str
        What the user called it.
    kind : str
        What it turned out to be.
    tensors : dict of str to Stored
        By name, what wrappers add to the names removed.
    config : Config
        The model's ``config.json``, empty where there is none.
    files : tuple of Path
        Empty for what lives in memory.
    revision : str or None
        Commit of a hub repository.
    unmerged : bool
        Whether there were LoRA factors beside the weights, which are then those of the base.
    """

    label: str
    kind: str
    tensors: dict[str, Stored]
    config: Config
    files: tuple[Path, ...] = ()
    revision: str | None = None
    unmerged: bool = False

    @classmethod
    def of(
        cls,
        label: str,
        kind: str,
        tensors: Mapping[str, Stored],
        config: Mapping[str, Any],
        files: tuple[Path, ...] = (),
        revision: str | None = None,
    ) -> Checkpoint:
        """A checkpoint with its names cleaned; two names that clean to the same are an error."""
        clean: dict[str, Stored] = {}
        unmerged = False
        for name, stored in tensors.items():
            short = strip_wrappers(name)
            if ".lora_" in short:
                unmerged = True
                continue
            if short in clean:
                raise CheckpointError(
                    f"{label}: two tensors are called {short!r} once wrappers are removed; save one of them"
                )
            clean[short] = stored
        return cls(label, kind, clean, Config.of(config), files, revision, unmerged)
