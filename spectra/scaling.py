"""Matrices whose squares would not fit their precision, brought near one by a power of two, which is exact."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .linalg import LowRank


def norm_and_unit(matrix: Tensor) -> tuple[float, float]:
    """``‖M‖_F``, and the power of two that brings the largest entry near one; 1.0 where squares fit as it is.

    Parameters
    ----------
    matrix : Tensor
        Finite, in float32 or float64.

    Examples
    --------
    >>> norm_and_unit(torch.full((4, 4), 1e30))[0]  # the squares are beyond float32
    4.00000...e+30
    >>> norm_and_unit(torch.ones(4, 4))
    (4.0, 1.0)
    """
    norm = float(torch.linalg.vector_norm(matrix))
    if _fits(norm, matrix.dtype):
        return norm, 1.0
    largest = float(matrix.abs().amax())
    if largest == 0:
        return 0.0, 1.0
    unit = _power_near(largest, matrix.dtype)
    return float(torch.linalg.vector_norm(matrix * unit)) / unit, unit


def scaled(matrix: Tensor, unit: float) -> Tensor:
    """``unit · M``, without a copy where the unit is one."""
    return matrix if unit == 1 else matrix * unit


def factors_near_one(update: LowRank) -> tuple[LowRank, float]:
    """The same update with factors whose squares fit, and the unit that brings the whole of it near one.

    Raises
    ------
    OverflowError
        If its scale is beyond every number.
    """
    (size_B, unit_B), (size_A, unit_A) = norm_and_unit(update.B), norm_and_unit(update.A)
    scale = update.scale / unit_B / unit_A
    if not math.isfinite(scale):
        raise OverflowError("the scale of the update is beyond every number")
    near = LowRank(scaled(update.B, unit_B), scaled(update.A, unit_A), scale)
    size = abs(scale) * (size_B * unit_B) * (size_A * unit_A)
    return near, 1.0 if size == 0 or _fits(size, update.dtype) else _power_near(size, update.dtype)


def _fits(norm: float, dtype: torch.dtype) -> bool:
    """Whether squares of what is as far below `norm` as rounding, an entry of many, can be added up."""
    limits = torch.finfo(dtype)
    return bool(limits.tiny**0.15 <= norm <= limits.max**0.25)


def _power_near(size: float, dtype: torch.dtype) -> float:
    """The power of two that brings `size` near one, as far as a multiplication in the precision allows."""
    room = math.frexp(torch.finfo(dtype).max)[1] - 8
    return math.ldexp(1.0, max(-room, min(room, -math.frexp(size)[1])))
