"""A proof that no singular value of a tall matrix is below some positive number."""

from __future__ import annotations

import torch
from torch import Tensor


def least_singular_value(A: Tensor) -> float:
    """A lower bound on ``σ_n`` of a tall ``(m, n)`` matrix; 0 where none is found.

    If ``AᵀA − δI`` has a Cholesky factor, ``σ_n² >= δ`` less what rounding does. Twice as many rows as columns often
    do, at a part of the cost: taking rows away cannot raise ``σ_n``. Rounding of an inner product of length ``m`` and
    of the factorisation is taken as ``4 √m eps`` relative to the norm (Higham & Mary 2019, Theorem 3.1, holds with
    probability above 1 − 1e-3 an entry at this constant), and ``δ`` as twice that.

    Parameters
    ----------
    A : Tensor, shape (m, n), m > n
    """
    m, n = A.shape
    for rows in sorted({min(m, 2 * n), m}):
        G = A[:rows].mT @ A[:rows]
        rounding = 4 * rows**0.5 * torch.finfo(A.dtype).eps * float(torch.linalg.vector_norm(G))
        G.diagonal().sub_(2 * rounding)
        if int(torch.linalg.cholesky_ex(G).info) == 0:
            return float(rounding**0.5)
    return 0.0
