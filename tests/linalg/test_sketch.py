from __future__ import annotations

import numpy as np
import pytest
import torch

from spectra.linalg import Difference, remainder_norm, sketch, svd


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_is_exact_up_to_its_width(shape: tuple[int, int], rng: np.random.Generator) -> None:
    B, A = (torch.from_numpy(rng.standard_normal(s)) for s in ((shape[0], 7), (7, shape[1])))
    found = sketch((B @ A).float(), 16)
    assert found.U.shape == (shape[0], 16)
    torch.testing.assert_close(found.s[:7].double(), svd(B @ A).s[:7], rtol=1e-5, atol=0)
    assert remainder_norm((B @ A).float(), found) < 1e-5 * float((B @ A).norm())


def test_what_it_leaves_is_what_is_there(rng: np.random.Generator) -> None:
    A = torch.from_numpy(rng.standard_normal((60, 40)))
    found = sketch(A, 10)
    assert found.s[0] <= svd(A).s[0]
    assert remainder_norm(A.clone(), found) == pytest.approx(float((A - (found.U * found.s) @ found.Vh).norm()))


def test_takes_a_difference_that_is_not_formed(rng: np.random.Generator) -> None:
    A, B = (torch.from_numpy(rng.standard_normal((30, 20))) for _ in range(2))
    difference = Difference(A, B)
    X = torch.from_numpy(rng.standard_normal((20, 3)))
    torch.testing.assert_close(difference @ X, (A - B) @ X)
    torch.testing.assert_close(difference.mT @ (A @ X), (A - B).mT @ (A @ X))
    torch.testing.assert_close(sketch(difference, 20).s, svd(A - B).s)
