"""Golub–Kahan bidiagonalisation from many left start vectors at once, each with a Krylov space of its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .operators import Operator, times

# What is left of a vector in an exhausted space, relative to the largest coefficient, is at most so many eps.
_ROUNDING = 16.0


def bidiagonalise(
    A: Operator, starts: Tensor, steps: int, *, without: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, step by step, the bidiagonal coefficients of ``A`` seen from each of several left vectors.

    For one start ``q_0``: ``Aᵀ q_{i-1} = α_i z_i + β_{i-1} z_{i-1}`` and ``A z_i = α_i q_{i-1} + β_i q_i`` with the
    ``q`` orthonormal and the ``z`` orthonormal (Golub & Kahan 1965; Golub & Van Loan, 4th ed., section 10.4.1, started
    on the left). Both are orthogonalised against all before them, twice: what is built on the coefficients (Bessel's
    inequality, quadrature) needs that in floating point, not only in theory.

    Parameters
    ----------
    A : (m, n) operator
    starts : Tensor, shape (m, k), unit columns
    steps : int
        At most this many pairs.
    without : Tensor, shape (m, c), optional
        Orthonormal columns, orthogonal to the starts: then it is ``(I − XXᵀ) A`` that is bidiagonalised.

    Yields
    ------
    alpha, beta : Tensor, shape (k,)
        ``α_i`` and ``β_i``, ``i = 1, 2, …``. Where a space is exhausted, all that follow are zero.
    """
    (m, n), k = A.shape, starts.shape[1]
    Q = starts.new_empty(k, steps + 1, m)
    Z = starts.new_empty(k, steps, n)
    Q[:, 0] = starts.mT
    previous = starts.new_zeros(k, n)
    beta = starts.new_zeros(k)
    largest = starts.new_zeros(k)
    for i in range(steps):
        z = times(A.mT, Q[:, i].mT).mT - beta[:, None] * previous
        z = _orthogonal(z, Z[:, :i])
        alpha, previous, largest = _normalised(z, largest)
        Z[:, i] = previous
        q = times(A, previous.mT).mT - alpha[:, None] * Q[:, i]
        q = _orthogonal(q, Q[:, : i + 1], without)
        beta, Q[:, i + 1], largest = _normalised(q, largest)
        yield alpha, beta


def _normalised(vectors: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms, unit vectors and the largest norm so far; zero where nothing but rounding is left."""
    norms = torch.linalg.vector_norm(vectors, dim=1)
    largest = torch.maximum(largest, norms)
    norms = torch.where(norms > _ROUNDING * torch.finfo(norms.dtype).eps * largest, norms, 0.0)
    return norms, torch.where(norms > 0, 1 / norms, 0.0)[:, None] * vectors, largest


def _orthogonal(vectors: Tensor, bases: Tensor, common: Tensor | None = None) -> Tensor:
    """`vectors` (k, d) without their parts in the spans of `bases` (k, i, d), each its own, and of `common` (d, c).

    Twice, and with the recurrence's own term gone before: what it would bring back of `common` grows from step to step.
    """
    for _ in range(2):
        if bases.shape[1]:
            columns = vectors[:, :, None]
            vectors = torch.baddbmm(columns, bases.mT, bases @ columns, alpha=-1)[:, :, 0]
        if common is not None:
            vectors = torch.addmm(vectors, vectors @ common, common.mT, alpha=-1)
    return vectors
