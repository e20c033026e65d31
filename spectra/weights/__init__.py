"""Checkpoints on disk or in memory: open, list, pair, read one matrix at a time."""

from .adapter import Adapter, LoraUpdate
from .checkpoint import Checkpoint
from .graft import graft
from .layout import Matrix, matrices
from .listing import list_matrices
from .names import is_default, locate
from .opening import open_checkpoint
from .pairs import Pair, Pairing, pair
from .stored import Skipped, Stored

__all__ = [
    "Adapter",
    "Checkpoint",
    "LoraUpdate",
    "Matrix",
    "Pair",
    "Pairing",
    "Skipped",
    "Stored",
    "graft",
    "is_default",
    "list_matrices",
    "locate",
    "matrices",
    "open_checkpoint",
    "pair",
]
