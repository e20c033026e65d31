"""Cosines with the leading singular vectors, as far as those are known, between bounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .leading import Leading
from .rounding import null_level, rounding

# Vectors that are not told apart better than this (sine of an angle) are one group, known only as a subspace.
_APART = 0.02


@dataclass(frozen=True)
class Match:
    """Where some unit vectors lie among the leading left singular vectors of a matrix.

    Attributes
    ----------
    lower, upper : Tensor, shape (k,), float64
        Bounds on ``max_i |cos(x_i, u_j)|`` over the known ``x_i``, whatever basis is taken of an eigenspace.
    best, nearest : Tensor, shape (k,)
        The greatest cosine with a computed ``x_i``, and its ``i``; -1 where that is one of a group.
    basis : Tensor, shape (m, c)
        The known ``x_i``, up to the last gap.
    beyond : float
        The largest singular value that others can have.
    shared : Tensor of bool, shape (k,)
        Whether the nearest are several whose values agree to rounding.
    coupling : Tensor, shape (k,), float64
        By how much a cosine with any other ``x`` can differ from that of the parts orthogonal to `basis`.
    """

    lower: Tensor
    upper: Tensor
    best: Tensor
    nearest: Tensor
    basis: Tensor
    beyond: float
    shared: Tensor
    coupling: Tensor


def match(known: Leading, U: Tensor) -> Match:
    """Bound the cosines of the columns of `U` with the vectors that `known` stands for.

    A computed vector ``x̂`` at an angle of at most ``φ`` from the true one has a cosine with ``u`` that is off by at
    most ``sin φ``. Values closer than their residuals form a group of ``d``: only the group's subspace is determined,
    ``P`` its projector, and any basis of it has a vector with ``|cos| >= ‖P u‖/√d`` and none above ``‖P u‖``. An
    incomplete last group is left out, as is what is below rounding.

    Parameters
    ----------
    known : Leading, of an (m, n) matrix
    U : Tensor, shape (m, k), unit columns
    """
    s, residuals = known.s, known.residuals
    below = s - torch.cat([s[1:], s.new_tensor([known.beyond])])
    around = residuals + torch.cat([residuals[1:], residuals.new_zeros(1)])
    dtype = known.U.dtype
    null = null_level((known.U.shape[0], known.Vh.shape[1]), dtype) * s[0]
    cuts = ((around <= _APART * below) & (s > null)).nonzero().flatten()  # i: there is a gap after the i-th
    distinct = torch.cat([torch.ones(1, dtype=torch.int64), (below[:-1] > 2 * rounding(dtype) * s[0]).long()]).cumsum(0)
    c = int(cuts[-1]) + 1 if len(cuts) else 0
    cosines = (known.U[:, :c].mT @ U).abs().double().cpu()  # (c, k)
    beyond = known.beyond if c == len(s) else float(s[c] + residuals[c])
    lower = upper = most = best = cosines.new_zeros(U.shape[1])
    shared = torch.zeros(U.shape[1], dtype=torch.bool)
    start = 0
    alone = torch.zeros(c, dtype=torch.bool)
    for end in (cuts[cuts < c] + 1).tolist():
        radius = float(torch.linalg.vector_norm(residuals[start:end]))
        gap = float(below[end - 1]) if start == 0 else float(torch.minimum(below[end - 1], below[start - 1]))
        sine = min(1.0, radius / max(gap - radius, 1e-300))
        inside = torch.linalg.vector_norm(cosines[start:end], dim=0)
        num_spaces = int(distinct[end - 1] - distinct[start]) + 1
        lower = torch.maximum(lower, (inside - sine) / (end - start) ** 0.5)
        shared = torch.where(inside > most, torch.tensor(num_spaces < end - start), shared)
        most = torch.maximum(most, inside)
        upper = torch.maximum(upper, inside + sine)
        alone[start] = end == start + 1
        start = end
    nearest = torch.full_like(best, -1, dtype=torch.int64)
    if c:
        best, nearest = cosines.max(dim=0)
        nearest = torch.where(alone[nearest], nearest, -1)
    slopes = (residuals[:c] / (2 * (s[:c] - beyond)).clamp(min=1e-300)).clamp(max=1.0)
    return Match(lower, upper.clamp(max=1.0), best, nearest, known.U[:, :c], beyond, shared, cosines.mT @ slopes)
