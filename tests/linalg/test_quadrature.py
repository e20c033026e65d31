from __future__ import annotations

import numpy as np
import pytest
import torch

from spectra.linalg import Leading, effective_rank, estimated_sums, leading
from tests.oracles import SPECTRA, with_spectrum


@pytest.mark.parametrize("spectrum", ["flat", "normal", "pretrained", "geometric", "rank deficient", "outlier"])
@pytest.mark.parametrize("shape", [(300, 300), (500, 200), (200, 500)])
def test_the_standard_error_is_one(spectrum: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Over many seeds, the deviations measured in standard errors are about as large as they should be."""
    U, s, Vh = with_spectrum(rng, *shape, SPECTRA[spectrum](rng, min(shape)))
    A = torch.from_numpy((U * s) @ Vh).float()
    known = leading(A, 1, angle=0.01)
    assert known is not None
    estimates = zip(
        *(estimated_sums(A, known, generator=torch.Generator().manual_seed(seed)) for seed in range(12)), strict=True
    )
    for exact, several in zip((effective_rank(torch.from_numpy(s)), s.sum()), estimates, strict=True):
        deviations = [(estimate.value - exact) / max(estimate.error, 1e-3 * exact) for estimate in several]
        assert np.sqrt(np.mean(np.square(deviations))) < 2
        assert np.mean([estimate.error for estimate in several]) < 0.12 * exact


def test_the_zero_matrix_has_none() -> None:
    nothing = Leading(
        *(torch.zeros(shape, dtype=torch.float64) for shape in ((30, 1), (1,), (1, 20), (1,))), beyond=0.0, steps=0
    )
    assert [estimate.value for estimate in estimated_sums(torch.zeros(30, 20, dtype=torch.float64), nothing)] == [0, 0]
