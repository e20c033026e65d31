from __future__ import annotations

import numpy as np
import pytest
import torch

from spectra.linalg import best_cosines, eigenspaces, num_above_rounding, svd
from tests.oracles import orthogonal, with_spectrum


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("values", "expected"), [
    ([3.0, 2.0, 1.0], [0, 1, 2]),
    ([3.0, 3.0, 3.0], [0, 0, 0]),
    ([3.0, 1.0, 1.0, 0.0], [0, 1, 1]),
    ([0.0, 0.0], []),
])  # fmt: skip
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_values_that_agree_are_one_eigenspace(
    values: list[float], expected: list[int], scale: float, dtype: torch.dtype
) -> None:
    assert eigenspaces(scale * torch.tensor(values, dtype=dtype), (5, 4), dtype).tolist() == expected


def test_how_near_is_one(rng: np.random.Generator) -> None:
    eps = torch.finfo(torch.float64).eps
    for difference, num in ((4 * eps, 1), (100 * eps, 2)):
        s = torch.tensor([1.0, 1.0 - difference], dtype=torch.float64)
        assert len(eigenspaces(s, (9, 9), torch.float64).unique()) == num


@pytest.mark.parametrize("rank", [1, 4, 8, 200])
@pytest.mark.parametrize("shape", [(400, 400), (700, 250), (64, 300)])
def test_the_numerical_rank_is_the_one_planted(rank: int, shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(rank)
    rank = min(rank, min(shape) // 2)
    W = torch.randn(shape[0], rank, generator=generator) @ torch.randn(rank, shape[1], generator=generator)
    assert num_above_rounding(svd(W).s, shape, W.dtype) == rank


def test_a_constant_matrix_has_rank_one() -> None:
    W = torch.full((512, 512), 0.3)  # every sum is rounded the same way: 110 eps where zeros should be
    assert num_above_rounding(svd(W).s, (512, 512), W.dtype) == 1


def test_the_cosine_with_an_eigenspace_does_not_depend_on_its_basis(rng: np.random.Generator) -> None:
    U, s, _ = with_spectrum(rng, 30, 30, np.r_[5.0, 4.0, 4.0, 4.0, np.linspace(3, 1, 26)])
    spaces = eigenspaces(torch.from_numpy(s), (30, 30), torch.float64)
    vectors = torch.from_numpy(U[:, 1:4] @ np.ones((3, 1)) / 3**0.5)
    for _ in range(3):
        turned = U.copy()
        turned[:, 1:4] = U[:, 1:4] @ orthogonal(rng, 3)
        best, nearest, sizes = best_cosines(torch.from_numpy(turned), vectors, spaces)
        assert float(best) == pytest.approx(1.0)  # with each of the three alone it would be 0.58
        assert (nearest.tolist(), sizes.tolist()) == ([-1], [3])
        alone = (torch.from_numpy(turned).mT @ vectors).abs().max()
        assert best / 3**0.5 - 1e-12 <= alone <= best  # whatever basis is taken


def test_what_is_below_rounding_matches_nothing() -> None:
    basis = torch.eye(5)
    spaces = eigenspaces(torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0]), (5, 5), torch.float32)
    best, nearest, _ = best_cosines(basis, basis, spaces)
    assert best.tolist() == [1, 1, 0, 0, 0]
    assert nearest[:2].tolist() == [0, 1]
    none, nowhere, _ = best_cosines(basis, basis, eigenspaces(torch.zeros(5), (5, 5), torch.float32))
    assert none.tolist() == [0] * 5
    assert nowhere.tolist() == [-1] * 5
