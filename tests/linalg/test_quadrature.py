from __future__ import annotations

import numpy as np
import pytest
import torch

from spectra.linalg import effective_rank, estimated_effective_rank
from tests.oracles import SPECTRA, with_spectrum


@pytest.mark.parametrize("spectrum", ["flat", "normal", "pretrained", "geometric", "rank deficient", "outlier"])
@pytest.mark.parametrize("shape", [(300, 300), (500, 200), (200, 500)])
def test_the_standard_error_is_one(spectrum: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Over many seeds, the deviations measured in standard errors are about as large as they should be."""
    U, s, Vh = with_spectrum(rng, *shape, SPECTRA[spectrum](rng, min(shape)))
    A, exact = torch.from_numpy((U * s) @ Vh).float(), effective_rank(torch.from_numpy(s))
    found = [estimated_effective_rank(A, generator=torch.Generator().manual_seed(seed)) for seed in range(12)]
    deviations = [(one.value - exact) / max(one.standard_error, 1e-3 * exact) for one in found]
    assert np.sqrt(np.mean(np.square(deviations))) < 2
    if spectrum != "outlier":  # one value that holds most of the sum is seen through every probe's noise
        assert np.mean([one.standard_error for one in found]) < 0.12 * exact


def test_the_zero_matrix_has_none() -> None:
    assert estimated_effective_rank(torch.zeros(30, 20)).value == 0
