"""How much of a vector a singular vector can hold, bounded from a few products, without knowing the singular vectors.

The cosines of a unit vector ``q`` with the left singular vectors of ``A``, squared, are the atoms of its spectral
measure under ``AAᵀ``. Golub–Kahan bidiagonalisation from ``q`` gives orthonormal ``q_i = p_i(AAᵀ) q``, and for a
singular triplet ``(σ, x, y)`` it is ``x·q_i = p_i(σ²) (x·q)``. Bessel's inequality ``Σ (x·q_i)² <= 1`` then bounds
the atom by the Christoffel function of the measure::

    (x·q)² <= 1 / Σ_{i=0..t} p_i(σ²)²

the sharpest bound that the moments seen allow, and half of what two neighbouring Gauss weights give
(Chebyshev–Markov–Stieltjes; Szegő, "Orthogonal Polynomials", section 3.41; Golub & Meurant 2010, chapters 2 and 6).

Where ``m > n``, ``q`` has a part in the null space of ``Aᵀ``, an atom at zero that belongs to no singular vector of
the thin SVD. There the orthonormal ``z_i = r_i(AᵀA) Aᵀq`` on the other side are taken: their measure has the atoms
``σ² (x·q)²``, none at zero, and the bound holds for singular values above a positive number.

Conditions. An atom is a whole eigenspace: for a multiple singular value the bound holds for every vector in it. The
inequality needs orthonormal ``q_i`` in floating point, hence full reorthogonalisation. Nothing need have converged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .bidiagonal import bidiagonalise
from .christoffel import Array, christoffel_peaks
from .operators import Operator

_END = 1e-3


def atom_bounds(
    A: Operator,
    starts: Tensor,
    *,
    enough: Tensor,
    least: float,
    steps: int,
    without: Tensor | None = None,
) -> Iterator[Tensor]:
    """Ever sharper upper bounds on ``|x·q|`` over the left singular vectors ``x`` of the thin SVD of ``A``.

    Parameters
    ----------
    A : (m, n) operator
    starts : Tensor, shape (m, k), unit columns
    enough : Tensor, shape (k,)
        Bounds below these need not be sharp.
    least : float
        No singular value of `A` is below this; used where ``m > n``, and of no use there when zero.
    steps : int
        At most so many pairs of products with ``A`` and ``Aᵀ``.
    without : Tensor, shape (m, c), optional
        Left singular vectors that are not meant; `starts` are orthogonal to them.

    Yields
    ------
    Tensor, shape (k,), float64, on the CPU
        After 6 pairs of products, then after each, or, for a small matrix, when there are a third more. Ones, while any
        vector holds too much of what has been seen so far to get below `enough`.
    """
    tall = A.shape[0] > A.shape[1]
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    look = min(6, steps)
    for alpha, beta in bidiagonalise(A, starts, steps, without=without):
        alphas.append(alpha)
        betas.append(beta)
        if len(alphas) == look:
            a, b = (torch.stack(part, dim=1).double().cpu().numpy() for part in (alphas, betas))
            yield torch.from_numpy(_from_coefficients(a, b, enough.cpu().numpy(), least if tall else None))
            # A look costs as much as a pair of products with a matrix of a million entries.
            look = min(steps, look + (1 if math.prod(A.shape) > 1 << 21 else look // 3))


def _from_coefficients(alpha: Array, beta: Array, enough: Array, least: float | None) -> Array:
    """The bound from the bidiagonal coefficients, each of shape (k, t)."""
    if least == 0.0:
        return np.ones(len(alpha))
    # A small coefficient ends a Krylov space: what comes after it is rounding, blown up.
    ended = np.minimum(alpha, beta) <= _END * np.maximum(alpha, beta).max(axis=1, keepdims=True)
    lengths = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, alpha.shape[1])
    bounds = np.empty(len(alpha))
    for t in np.unique(lengths):
        rows = lengths == t
        a, b, goal = np.maximum(alpha[rows, :t], 1e-300), np.maximum(beta[rows, :t], 1e-300), enough[rows] ** 2
        if least is None:  # the q_i: rows of the bidiagonal matrix times their neighbours
            shifted = np.pad(b[:, :-1], ((0, 0), (1, 0)))
            bounds[rows] = christoffel_peaks(a**2 + shifted**2, (a * b)[:, :-1], (a * b)[:, -1], goal)
        else:  # the z_i: its columns
            mass = a[:, 0] ** 2
            peaks = christoffel_peaks(a**2 + b**2, b[:, :-1] * a[:, 1:], None, goal / mass, above=least**2)
            bounds[rows] = peaks * mass
    return np.sqrt(np.minimum(bounds, 1.0))
