"""What rounding leaves undefined: null spaces, and the vectors of singular values that agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .cosines import absolute_cosines


def rounding(dtype: torch.dtype) -> float:
    """Backward error, relative to the norm, that is allowed for in an SVD by LAPACK or by an iteration."""
    return 8 * torch.finfo(dtype).eps


def null_level(shape: tuple[int, ...], dtype: torch.dtype) -> float:
    """Singular values of an ``(m, n)`` matrix below this, relative to the largest, are rounding.

    What a decomposition makes of a zero grows with the size: up to 9 eps at 1,024 rows of random entries in float32,
    and 110 eps at 512 rows that are all alike, where every sum is rounded the same way.
    """
    return rounding(dtype) * math.sqrt(max(shape))


def num_above_rounding(s: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """How many of the descending singular values `s` of an ``(m, n)`` matrix are above rounding: its numerical rank."""
    return int((s > null_level(shape, dtype) * float(s[0])).sum())


def eigenspaces(s: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Number the eigenspaces that singular vectors belong to.

    Two neighbours whose values differ by less than rounding moves both are of one eigenspace: not they are defined,
    only what they span. Values below rounding belong to none.

    Parameters
    ----------
    s : Tensor, shape (p,)
        Singular values, descending, of a matrix of this `shape`, computed in `dtype`.

    Returns
    -------
    Tensor of int64, shape (r,), r <= p, on the CPU
        Ascending from 0; as many as are above rounding.

    Examples
    --------
    >>> eigenspaces(torch.tensor([3.0, 2.0, 2.0, 1.0, 0.0]), (5, 5), torch.float32).tolist()
    [0, 1, 1, 2]
    """
    above = s[: num_above_rounding(s, shape, dtype)].double().cpu()
    apart = above[:-1] - above[1:] > 2 * rounding(dtype) * above[:1]
    return torch.cat([apart.new_zeros(min(1, len(above))), apart]).cumsum(0)


def best_cosines(basis: Tensor, vectors: Tensor, spaces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest cosine of each vector with an eigenspace, and which singular vector that is.

    Parameters
    ----------
    basis : Tensor, shape (m, p)
        Singular vectors, in the order of their values.
    vectors : Tensor, shape (m, k), unit columns
    spaces : Tensor of int64, shape (r,)
        As by `eigenspaces`; no vector of `basis` counts after the first r.

    Returns
    -------
    best : Tensor, shape (k,), on the CPU
        ``max_g ‖P_g u‖``, ``P_g`` the projector on an eigenspace; for a single vector its absolute cosine. 0 without
        any.
    nearest : Tensor of int64, shape (k,)
        The index of that vector; -1 where it is one of several in its eigenspace.
    sizes : Tensor of int64, shape (k,)
        Of how many dimensions that eigenspace is. Any basis of it has a vector with a cosine of ``best / √size`` at
        least, and none with more than ``best``.
    """
    cosines = absolute_cosines(basis[:, : len(spaces)], vectors).cpu()
    if not len(spaces):
        k = vectors.shape[1]
        return cosines.new_zeros(k), torch.full((k,), -1), torch.ones(k, dtype=torch.int64)
    sizes = spaces.bincount()
    if len(sizes) == len(spaces):
        best, nearest = cosines.max(dim=0)
        return best, nearest, torch.ones_like(nearest)
    squares = torch.zeros(len(sizes), vectors.shape[1], dtype=torch.float64)
    squares.index_add_(0, spaces, cosines.double() ** 2)
    most, space = squares.max(dim=0)
    first = torch.searchsorted(spaces, space)
    size = sizes[space]
    return most.sqrt().clamp(max=1.0).to(cosines.dtype), torch.where(size == 1, first, -1), size
