"""Effective and stable rank, from singular values."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(s: Tensor) -> float:
    """``exp(H(p))`` with ``p = s / s.sum()`` and ``H`` the Shannon entropy in nats.

    Between 1 and the number of nonzero values; equal to it when they are all alike, and 0 for the zero matrix.

    Source: Roy & Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007, Definition 1.

    Parameters
    ----------
    s : Tensor, shape (p,)
        Singular values, in any order.

    Raises
    ------
    ValueError
        If a value is negative, NaN or Inf.
    """
    s = _validated(s)
    total = s.sum()
    if total == 0:
        return 0.0
    # entr(p) = -p log p, with 0 log 0 = 0
    return float(torch.special.entr(s / total).sum().exp())


def stable_rank(s: Tensor) -> float:
    """``‖W‖_F² / ‖W‖_2²`` from the singular values of ``W``; 0 for the zero matrix.

    Never above the rank, and insensitive to tiny singular values.

    Source: Rudelson & Vershynin, "Sampling from large matrices", J. ACM 54(4), 2007, section 1 ("numerical rank").

    Parameters
    ----------
    s : Tensor, shape (p,)
        Singular values, in any order.

    Raises
    ------
    ValueError
        If a value is negative, NaN or Inf.
    """
    s = _validated(s)
    largest = s.max()
    if largest == 0:
        return 0.0
    return float(((s / largest) ** 2).sum())


def _validated(s: Tensor) -> Tensor:
    s = s.double()
    if s.ndim != 1 or s.numel() == 0 or not torch.isfinite(s).all() or (s < 0).any():
        raise ValueError("singular values must be a non-empty vector of finite, non-negative numbers")
    return s
