from __future__ import annotations

import math

import pytest
import torch

from spectra.linalg import LowRank
from spectra.update import update_measures


def test_by_hand() -> None:
    W0 = torch.diag(torch.tensor([4.0, 3.0]))
    found = update_measures(W0, W0 + torch.diag(torch.tensor([2.0, 2.0])))
    assert found == pytest.approx(
        {
            "effective_rank": 2.0,
            "stable_rank": 2.0,
            "base_norm": 5.0,
            "delta_norm": 8**0.5,
            "delta_spectral_norm": 2.0,
            "relative_delta": 8**0.5 / 5,
        }
    )


def test_factors_give_what_the_dense_update_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    W0, B, A = (torch.randn(*shape, generator=generator) for shape in ((20, 14), (20, 3), (3, 14)))
    factors = LowRank(B, A, 0.5)
    dense = update_measures(W0.double(), W0.double() + factors.dense().double())
    assert update_measures(W0, W0 + factors.dense(), factors) == pytest.approx(dense, rel=1e-4)


def test_a_zero_base_has_no_relative_size() -> None:
    assert math.isnan(update_measures(torch.zeros(2, 2), torch.eye(2))["relative_delta"])
