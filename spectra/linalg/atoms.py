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

Conditions. An atom is a whole eigenspace: for a multiple singular value, or several that agree to rounding, the bound
holds for every vector in it (`deflation`). The inequality needs orthonormal ``q_i`` in floating point, hence full
reorthogonalisation. Nothing need have converged.
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
from .rounding import rounding

# Values that agree to rounding make a measure with nodes as near; thirty times that keeps what is one from being told
# apart by halves. The eigenvalues of the Jacobi matrix, in double precision, are no better than the other.
_RESOLUTION, _LEAST_RESOLUTION = 32.0, 1e-9


def atom_bounds(
    A: Operator,
    starts: Tensor,
    *,
    enough: Tensor,
    largest: float,
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
    largest : float
        The largest singular value of `A`, which rounding is relative to.
    least : float
        No singular value of `A` is below this; used where ``m > n``, and of no use there when zero.
    steps : int
        At most so many pairs of products with ``A`` and ``Aᵀ``.
    without : Tensor, shape (m, c), optional
        Left singular vectors that are not meant; `starts` are orthogonal to them.

    Yields
    ------
    Tensor, shape (k,), float64, on the CPU
        After 6 pairs of products, then after each, or, for a small matrix, when there are a third more; none is above
        the one before. Ones, while any vector holds too much of what has been seen so far to get below `enough`.

    Notes
    -----
    Values that agree to rounding are one value: the bound is on ``‖P q‖``, ``P`` the projector on all their vectors.
    """
    tall = A.shape[0] > A.shape[1]
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    look = min(6, steps)
    goal, agreeing = enough.cpu().numpy(), 4 * rounding(starts.dtype) * largest
    least_so_far = np.ones(starts.shape[1])
    for alpha, beta in bidiagonalise(A, starts, steps, without=without):
        alphas.append(alpha)
        betas.append(beta)
        if len(alphas) == look:
            a, b = (torch.stack(part, dim=1).double().cpu().numpy() for part in (alphas, betas))
            bounds = _squared_tall(a, b, goal, agreeing, least) if tall else _squared(a, b, goal, agreeing)
            least_so_far = np.minimum(least_so_far, np.sqrt(bounds))
            yield torch.from_numpy(least_so_far)
            # A look costs as much as a pair of products with a matrix of a million entries.
            look = min(steps, look + (1 if math.prod(A.shape) > 1 << 21 else look // 3))


def _squared(alpha: Array, beta: Array, enough: Array, agreeing: float) -> Array:
    """The squared bound from the ``q_i``, rows of the bidiagonal matrix; coefficients of shape (k, t)."""
    shifted = np.pad(beta[:, :-1], ((0, 0), (1, 0)))
    off_diagonal = alpha * beta
    return christoffel_peaks(
        alpha**2 + shifted**2,
        off_diagonal[:, :-1],
        off_diagonal[:, -1],
        enough**2,
        resolution=_resolution(alpha, beta, agreeing),
    )


def _squared_tall(alpha: Array, beta: Array, enough: Array, agreeing: float, least: float) -> Array:
    """The squared bound from the ``z_i``, columns of the bidiagonal matrix; none without a `least` value."""
    if least == 0.0 or alpha.shape[1] < 2:
        return np.ones(len(alpha))
    off_diagonal = beta[:, :-1] * alpha[:, 1:]
    mass = np.maximum(alpha[:, 0] ** 2, 1e-300)
    peaks = christoffel_peaks(
        (alpha**2 + beta**2)[:, :-1],
        off_diagonal[:, :-1],
        off_diagonal[:, -1],
        enough**2 / mass,
        resolution=_resolution(alpha, beta, agreeing),
        above=least**2,
    )
    return np.asarray(peaks * mass)


def _resolution(alpha: Array, beta: Array, agreeing: float) -> Array:
    """Differences of squared singular values that are rounding, as singular values `agreeing` / 2 apart are one."""
    norm = (alpha + beta).max(axis=1)  # of the bidiagonal matrix, at least
    return np.asarray(np.maximum(_RESOLUTION * agreeing * norm, _LEAST_RESOLUTION * norm**2))
