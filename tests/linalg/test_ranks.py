from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectra.linalg import effective_rank, stable_rank

spectra_of_interest = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize("rank", [1, 2, 7])
def test_equal_values_have_as_many_directions(rank: int) -> None:
    s = torch.cat([torch.full((rank,), 3.0), torch.zeros(4)])
    assert effective_rank(s) == pytest.approx(rank, rel=1e-9)
    assert stable_rank(s) == pytest.approx(rank, rel=1e-9)


def test_by_hand() -> None:
    s = torch.tensor([3.0, 1.0])
    assert effective_rank(s) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert stable_rank(s) == pytest.approx(10 / 9)


@given(spectra_of_interest, st.floats(1e-3, 1e3))
def test_bounds_and_scaling(values: list[float], factor: float) -> None:
    s = torch.tensor(values, dtype=torch.float64)
    for measure in (effective_rank, stable_rank):
        assert 1 - 1e-9 <= measure(s) <= len(values) + 1e-9
        assert measure(factor * s) == pytest.approx(measure(s), rel=1e-9)
        assert measure(s.flip(0)) == pytest.approx(measure(s), rel=1e-9)


def test_zero_matrix_has_rank_zero() -> None:
    assert effective_rank(torch.zeros(3)) == stable_rank(torch.zeros(3)) == 0.0


@pytest.mark.parametrize("bad", [[-1.0, 2.0], [float("nan")], [float("inf")], []])
def test_refuses_what_are_no_singular_values(bad: list[float]) -> None:
    for measure in (effective_rank, stable_rank):
        with pytest.raises(ValueError, match="singular values must be"):
            measure(torch.tensor(bad))
