from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg import least_singular_value
from tests.oracles import SPECTRA, with_spectrum


@settings(max_examples=60, deadline=None)
@given(
    spectrum=st.sampled_from(sorted(SPECTRA)),
    n=st.integers(2, 60),
    more=st.integers(1, 200),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 9999),
)
def test_is_never_above_the_least_one(spectrum: str, n: int, more: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    U, s, Vh = with_spectrum(rng, n + more, n, scale * SPECTRA[spectrum](rng, n))
    assert least_singular_value(torch.from_numpy((U * s) @ Vh).float()) <= s.min() + 1e-6 * s.max()


def test_finds_one_where_the_matrix_is_well_conditioned_and_none_where_it_is_singular(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 400, 100, np.linspace(1.0, 0.2, 100))
    W = torch.from_numpy((U * s) @ Vh).float()
    assert least_singular_value(W) > 0
    W[:, 3] = 0
    assert least_singular_value(W) == 0
    # Half of the rows are nothing: the first try fails, the whole matrix has full rank.
    assert least_singular_value(torch.cat([torch.zeros(250, 100), torch.eye(100)])) > 0
