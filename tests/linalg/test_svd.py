from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg import singular_values, svd
from tests.oracles import with_spectrum


@settings(max_examples=40, deadline=None)
@given(m=st.integers(1, 40), n=st.integers(1, 40), seed=st.integers(0, 2**16), zeros=st.integers(0, 5))
def test_recovers_a_prescribed_spectrum(m: int, n: int, seed: int, zeros: int) -> None:
    rng = np.random.default_rng(seed)
    s = np.sort(rng.uniform(0, 5, min(m, n)))[::-1].copy()
    s[len(s) - min(zeros, len(s)) :] = 0
    U, s, Vh = with_spectrum(rng, m, n, s)
    W = torch.from_numpy((U * s) @ Vh)
    found = svd(W)
    assert found.driver == "gesdd"
    assert found.U.shape == (m, min(m, n))
    assert found.Vh.shape == (min(m, n), n)
    np.testing.assert_allclose(found.s, s, atol=1e-12 * (1 + s[0]))
    torch.testing.assert_close((found.U * found.s) @ found.Vh, W, atol=1e-11, rtol=0)
    torch.testing.assert_close(singular_values(W), found.s, atol=1e-12, rtol=1e-12)
    for work in (W.clone(), W.mT.clone().mT):  # rows and columns lie one after the other
        torch.testing.assert_close(singular_values(work, overwrite=True), found.s, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("given_", "used"),
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_computes_in_at_least_float32(given_: str, used: str) -> None:
    assert svd(torch.eye(3, dtype=getattr(torch, given_))).U.dtype == getattr(torch, used)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(0, 3), torch.tensor([[1.0, float("nan")]]), torch.full((2, 2), float("inf"))]
)
def test_refuses_what_has_no_decomposition(bad: torch.Tensor) -> None:
    for function in (svd, singular_values):
        with pytest.raises(ValueError, match=r"expected a matrix|NaN or Inf"):
            function(bad)


def _fails(*args: object, **kwargs: object) -> None:
    raise torch.linalg.LinAlgError("did not converge")


def test_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    W = torch.from_numpy(rng.standard_normal((7, 5))).float()
    expected = svd(W)
    monkeypatch.setattr(torch.linalg, "svd", _fails)
    monkeypatch.setattr(torch.linalg, "svdvals", _fails)
    found = svd(W)
    assert found.driver == "gesvd"
    torch.testing.assert_close((found.U * found.s) @ found.Vh, W, atol=1e-5, rtol=0)
    torch.testing.assert_close(singular_values(W), expected.s, atol=1e-5, rtol=1e-5)


def test_falls_back_to_float64_last(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    import scipy.linalg

    real = scipy.linalg.svd

    def only_float64(matrix: np.ndarray, **kwargs: object) -> object:
        if matrix.dtype != np.float64:
            raise scipy.linalg.LinAlgError("did not converge")
        return real(matrix, **kwargs)

    monkeypatch.setattr(torch.linalg, "svd", _fails)
    monkeypatch.setattr(scipy.linalg, "svd", only_float64)
    W = torch.from_numpy(rng.standard_normal((4, 6))).float()
    found = svd(W)
    assert found.driver == "gesvd in float64"
    assert found.U.dtype == torch.float32
    torch.testing.assert_close((found.U * found.s) @ found.Vh, W, atol=1e-6, rtol=0)
