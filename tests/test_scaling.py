from __future__ import annotations

import math

import pytest
import torch

from spectra.linalg import LowRank
from spectra.scaling import factors_near_one, norm_and_unit, scaled


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fraction", [-1.0, -0.99, -0.5, -0.2, 0.0, 0.2, 0.5, 0.99])
def test_the_norm_is_right_and_the_unit_brings_it_near_one(fraction: float, dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    scale = (limits.max if fraction > 0 else limits.tiny) ** abs(fraction)
    matrix = torch.linspace(0.1, 1, 20, dtype=torch.float64).reshape(4, 5)
    norm, unit = norm_and_unit((scale * matrix).to(dtype))
    assert norm / scale == pytest.approx(float(matrix.norm()), rel=1e-5)
    assert math.frexp(unit)[0] == 0.5  # a power of two: nothing is rounded
    assert limits.tiny**0.15 < float(scaled((scale * matrix).to(dtype), unit).norm()) < limits.max**0.25


def test_subnormal_numbers_are_brought_as_near_as_a_multiplication_reaches() -> None:
    norm, unit = norm_and_unit(torch.full((2, 2), 1e-45))
    assert norm == pytest.approx(2.8e-45, rel=0.01)
    assert float(scaled(torch.full((2, 2), 1e-45), unit).norm()) > 1e-12


def test_nothing_is_copied_where_squares_fit() -> None:
    matrix = torch.ones(3, 3)
    assert scaled(matrix, norm_and_unit(matrix)[1]) is matrix
    assert norm_and_unit(torch.zeros(3, 3)) == (0.0, 1.0)


def test_factors_keep_their_product() -> None:
    B, A = 1e-30 * torch.ones(3, 1), 1e30 * torch.ones(1, 3)
    near, unit = factors_near_one(LowRank(B, A, 2.0))
    torch.testing.assert_close(near.dense(), 2 * torch.ones(3, 3))
    assert unit == 1
    assert 0.1 < float(near.B.max()) < 2
    assert 0.1 < float(near.A.max()) < 2
