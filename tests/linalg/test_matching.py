from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg import leading, match
from tests.oracles import SPECTRA, with_spectrum


@settings(max_examples=60, deadline=None)
@given(
    spectrum=st.sampled_from(sorted(SPECTRA)),
    shape=st.sampled_from([(160, 160), (250, 150), (150, 250)]),
    angle=st.sampled_from([0.02, 0.01, 1e-3]),
    seed=st.integers(0, 999),
)
def test_bounds_hold_for_lapacks_vectors(spectrum: str, shape: tuple[int, int], angle: float, seed: int) -> None:
    """Whatever basis LAPACK takes of an eigenspace, its best cosine with the leading vectors is between the bounds."""
    rng = np.random.default_rng(seed)
    s = np.sort(SPECTRA[spectrum](rng, min(shape)))[::-1]
    U, s, Vh = with_spectrum(rng, *shape, s)
    A = torch.from_numpy((U * s) @ Vh).float()
    known = leading(A, 8, angle=angle)
    assert known is not None
    vectors = U[:, :8] @ rng.standard_normal((8, 5)) + 0.1 * rng.standard_normal((shape[0], 5)) / shape[0] ** 0.5
    vectors = torch.from_numpy(vectors / np.linalg.norm(vectors, axis=0)).float()
    found = match(known, vectors)
    lapack = torch.linalg.svd(A, full_matrices=False)[0]
    c = found.basis.shape[1]
    exact = (lapack[:, :c].mT @ vectors).abs().amax(dim=0) if c else torch.zeros(5)
    assert (found.lower <= exact + 1e-3).all()
    assert (exact <= found.upper + 1e-3).all()
    # The rest of the vectors' cosines are those of what is orthogonal to the known ones, but for the coupling.
    rest = vectors - found.basis @ (found.basis.mT @ vectors)
    others = lapack[:, c:]
    shifted = ((others.mT @ vectors).abs() - (others.mT @ rest).abs()).abs().amax(dim=0)
    assert (shifted <= found.coupling + 1e-3).all()


def test_a_pair_of_equal_values_is_one_group(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 200, 200, np.r_[3.0, 2.0, 2.0, np.linspace(1.5, 0.1, 197)])
    known = leading(torch.from_numpy((U * s) @ Vh).float(), 6, angle=0.01)
    assert known is not None
    found = match(known, torch.from_numpy(U[:, :3].copy()).float())
    np.testing.assert_allclose(found.lower, [1, 0.5**0.5, 0.5**0.5], atol=0.02)
    np.testing.assert_allclose(found.upper, [1, 1, 1], atol=0.02)
    assert found.nearest.tolist() == [0, -1, -1]
    assert found.shared.tolist() == [False, True, True]


def test_of_values_not_yet_told_apart_each_may_be_the_nearest(rng: np.random.Generator) -> None:
    # Far enough apart to be two, but not for residuals this large.
    known = leading(torch.diag(torch.linspace(3.0, 0.1, 200)), 6, angle=0.01)
    assert known is not None
    blurred = dataclasses.replace(known, residuals=known.residuals + 2e-4 * (torch.arange(len(known.s)) < 2))
    half = torch.zeros(200, 1)
    half[:2] = 0.5**0.5
    found = match(blurred, half)
    assert 0.5 < found.lower < 0.71 < 0.99 < found.upper
    assert not found.shared.any()


def test_nothing_is_known_of_a_group_without_an_end() -> None:
    known = leading(torch.eye(200), 5, angle=0.01)
    assert known is not None
    found = match(known, torch.eye(200)[:, :2])
    assert found.basis.shape[1] == 0
    assert found.lower.tolist() == [0, 0]
    assert found.best.tolist() == pytest.approx([0, 0])
    assert found.beyond >= 1
