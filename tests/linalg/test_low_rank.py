from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg import LowRank, singular_values


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 30), n=st.integers(1, 30), r=st.integers(1, 40), scale=st.floats(-4, 4), seed=st.integers(0, 9999)
)
def test_spectrum_equals_that_of_the_product(m: int, n: int, r: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    update = LowRank(
        torch.randn(m, r, generator=generator, dtype=torch.float64),
        torch.randn(r, n, generator=generator, dtype=torch.float64),
        scale,
    )
    found = update.svd()
    p = min(m, n, r)
    assert found.s.shape == (p,)
    expected = singular_values(update.dense())
    torch.testing.assert_close(found.s, expected[:p], atol=1e-11 * (1 + float(expected[0])), rtol=0)
    torch.testing.assert_close((found.U * found.s) @ found.Vh, update.dense(), atol=1e-10, rtol=0)


def test_never_forms_the_product() -> None:
    # Dense, this update would be 40,000 × 40,000: 6.4 GB.
    update = LowRank(torch.ones(40_000, 2), torch.ones(2, 40_000), 0.5)
    assert update.svd().s[0].item() == pytest.approx(40_000, rel=1e-4)


def test_refuses_factors_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"B is \(3, 2\), A is \(3, 4\)"):
        LowRank(torch.ones(3, 2), torch.ones(3, 4))
