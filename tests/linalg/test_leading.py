from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg import BLOCK, Leading, LowRank, Updated, leading, num_leading
from tests.oracles import SPECTRA, with_spectrum

SHAPES = [(160, 160), (260, 150), (150, 260)]


def _check(A: torch.Tensor, found: Leading, U: np.ndarray, s: np.ndarray) -> None:
    """Residuals, values and angles are what they are said to be, against the spectrum by construction."""
    A, ours, right = A.double(), found.U.double(), found.Vh.double().mT
    residuals = torch.maximum((A @ right - ours * found.s).norm(dim=0), (A.mT @ ours - right * found.s).norm(dim=0))
    assert (residuals <= found.residuals).all()
    c = len(found.s)
    np.testing.assert_allclose(found.s, s[:c], atol=2e-6 * s[0])
    for basis in (ours, right):
        torch.testing.assert_close(basis.mT @ basis, torch.eye(c, dtype=torch.float64), atol=1e-4, rtol=0)
    assert found.beyond >= (s[c] if c < len(s) else 0) - 2e-6 * s[0]
    cosines = U.T @ (ours / ours.norm(dim=0)).numpy()  # (p, c)
    cosines[np.arange(c), np.arange(c)] = 0
    assert (np.linalg.norm(cosines, axis=0) <= found.angles().numpy() + 1e-5).all()


@settings(max_examples=60, deadline=None)
@given(
    spectrum=st.sampled_from(sorted(SPECTRA)),
    shape=st.sampled_from(SHAPES),
    k=st.integers(1, 12),
    angle=st.sampled_from([0.05, 0.01, 1e-3]),
    seed=st.integers(0, 999),
)
def test_planted_spectra(spectrum: str, shape: tuple[int, int], k: int, angle: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    U, s, Vh = with_spectrum(rng, *shape, np.sort(SPECTRA[spectrum](rng, min(shape)))[::-1])
    A = torch.from_numpy((U * s) @ Vh).float()
    found = leading(A, k, angle=angle)
    assert found is not None
    assert len(found.s) >= k
    _check(A, found, U, s)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_float64_to_its_own_rounding(shape: tuple[int, int], rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, *shape, SPECTRA["pretrained"](rng, min(shape)))
    s = np.sort(s)[::-1]
    found = leading(torch.from_numpy((U * s) @ Vh), 5, angle=1e-7)
    assert found is not None
    np.testing.assert_allclose(found.s[:5], s[:5], rtol=1e-13)
    assert found.angles()[:5].max() <= 1e-7


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_plus_low_rank_is_the_sum(shape: tuple[int, int], rng: np.random.Generator) -> None:
    W0, B, A = (torch.from_numpy(rng.standard_normal(s)).float() for s in (shape, (shape[0], 3), (3, shape[1])))
    operator = Updated(W0, LowRank(B, A, 0.5))
    found, dense = leading(operator, 6, angle=1e-3), leading(operator.dense(), 6, angle=1e-3)
    assert found is not None
    assert dense is not None
    torch.testing.assert_close(found.s[:6], dense.s[:6], rtol=1e-5, atol=0)


def test_a_start_that_holds_the_answer_is_quicker_and_the_transpose_is_the_transpose(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 300, 300, np.linspace(1.0, 0.5, 300))
    A = torch.from_numpy((U * s) @ Vh).float()
    cold = leading(A, 5, angle=0.01)
    warm = leading(A, 5, angle=0.01, start=torch.from_numpy(Vh[:12].T.copy()).float())
    assert cold is not None
    assert warm is not None
    assert warm.steps < cold.steps
    flipped = leading(A.mT, 5, angle=0.01)
    assert flipped is not None
    torch.testing.assert_close(flipped.mT.s[:5], cold.s[:5], rtol=1e-4, atol=0)


def test_a_start_orthogonal_to_what_is_sought_does_not_hide_it() -> None:
    A = torch.diag(torch.linspace(1.0, 2.0, 200))  # the largest values are last
    start = torch.eye(200)[:, :12]
    found = leading(A, 4, angle=1e-3, start=start)
    assert found is not None
    torch.testing.assert_close(found.s[:4].float(), torch.linspace(1.0, 2.0, 200).flip(0)[:4], rtol=1e-5, atol=0)


def test_equal_values_have_no_gap_and_no_angle(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 200, 200, np.r_[3.0, 2.0, 2.0, np.linspace(1.5, 0.1, 197)])
    found = leading(torch.from_numpy((U * s) @ Vh).float(), 4, angle=0.01)
    assert found is not None
    assert found.angles()[0] < 0.01
    assert found.angles()[1] == found.angles()[2] == 1


def test_gives_up_where_there_is_nothing_to_find(rng: np.random.Generator) -> None:
    assert leading(torch.zeros(200, 200), 3, angle=0.01) is None
    U, s, Vh = with_spectrum(rng, 200, 200, np.r_[np.linspace(2, 1, 5), np.zeros(195)])
    low = torch.from_numpy((U * s) @ Vh).float()
    assert leading(low, 10, angle=0.01) is None
    assert leading(low, 4, angle=0.01) is not None
    assert leading(torch.from_numpy(rng.standard_normal((400, 400))), 20, angle=1e-6, max_steps=10) is None


def test_small_matrices_are_refused() -> None:
    assert num_leading(6 * BLOCK, 1000) == 0
    with pytest.raises(ValueError, match="3 leading triplets of a 60×80 matrix: take a full decomposition"):
        leading(torch.eye(80)[:60], 3, angle=0.01)
