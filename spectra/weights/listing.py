"""What a checkpoint holds, as rows of a table."""

from __future__ import annotations

from typing import Any

from ..errors import CheckpointError
from .adapter import Adapter
from .checkpoint import Checkpoint
from .layout import Matrix, matrices
from .names import EMBEDDING, HEAD
from .stored import Skipped


def list_matrices(checkpoint: Checkpoint | Adapter) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """One row a matrix, nothing read: name, rows, cols, dtype, kind; for an adapter also rank and scale.

    Raises
    ------
    CheckpointError
        If there is no matrix in it.
    """
    if isinstance(checkpoint, Adapter):
        found, skipped = matrices(checkpoint.replaced, {})
        rows = [
            {
                "name": module,
                "rows": update.shape[0],
                "cols": update.shape[1],
                "dtype": _dtype(update.B.dtype),
                "kind": "DoRA" if update.magnitude else "LoRA",
                "rank": update.rank,
                "scale": round(update.scale, 6),
            }
            for module, update in checkpoint.updates.items()
        ]
        rows += [
            _row(matrix) | {"kind": "replaced", "rank": min(matrix.rows, matrix.cols), "scale": 1.0} for matrix in found
        ]
        skipped += checkpoint.skipped
    else:
        found, skipped = matrices(checkpoint.tensors, checkpoint.config)
        rows = [_row(matrix) for matrix in found]
    if not rows:
        problems = [f" ({entry.name}: {entry.reason})" for entry in skipped if entry.problem]
        raise CheckpointError(f"{checkpoint.label}: holds no weight matrices{(problems or [''])[0]}")
    return rows, skipped


def _row(matrix: Matrix) -> dict[str, Any]:
    if EMBEDDING.search(matrix.name):
        kind = "embedding"
    elif HEAD.search(matrix.name):
        kind = "head"
    elif matrix.expert is not None:
        kind = "expert"
    else:
        kind = "convolution" if len(matrix.stored.shape) > 2 else "linear"
    return {
        "name": matrix.name,
        "rows": matrix.rows,
        "cols": matrix.cols,
        "dtype": _dtype(matrix.stored.dtype),
        "kind": kind,
    }


def _dtype(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
