"""The few directions of a matrix that is of low rank, and how much is left beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from .operators import Operator, times
from .svd import SVD, svd


def sketch(A: Operator, width: int, *, generator: torch.Generator | None = None) -> SVD:
    """Approximate SVD of rank `width` from one pass over ``A`` and one over ``Aᵀ``.

    Exact where the rank is no larger; else the leading part of it, without a bound (Halko, Martinsson & Tropp 2011,
    Algorithms 4.1 and 5.1). What it leaves is measured, not estimated, where that matters.

    Parameters
    ----------
    A : (m, n) operator
    width : int
    generator : torch.Generator, optional
        Of the random columns; seeded with 0 if not given.
    """
    width = min(width, *A.shape)
    random = torch.randn(A.shape[1], width, generator=generator or torch.Generator().manual_seed(0))
    Q = torch.linalg.qr(times(A, random.to(device=A.device, dtype=A.dtype))).Q  # (m, width)
    core = svd(times(A.mT, Q).mT)  # QᵀA
    return SVD(Q @ core.U, core.s, core.Vh, f"{core.driver} of a sketch")


def remainder_norm(A: Tensor, found: SVD) -> float:
    """``‖A − U diag(s) Vh‖_F``; `A` is overwritten with the difference."""
    A.addmm_(found.U * found.s, found.Vh, alpha=-1)
    return float(torch.linalg.vector_norm(A))
