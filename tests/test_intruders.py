from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra import examine
from tests.oracles import orthogonal, paper_max_cosines, planted, with_spectrum

shapes = st.sampled_from([(16, 16), (24, 16), (16, 24), (40, 17), (17, 40), (64, 32)])
# Groups of 1, 2, 4, 8: best cosines 1, 0.71, 0.5 and 0.35.
mixtures = st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=8).filter(lambda mixes: sum(mixes) <= 16)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, mixes=mixtures, k=st.integers(1, 16), seed=st.integers(0, 9999), right=st.booleans())
def test_planted_intruders_are_found_and_nothing_else(
    shape: tuple[int, int], mixes: list[int], k: int, seed: int, right: bool
) -> None:
    rng = np.random.default_rng(seed)
    W0, W, cosines = planted(rng, *shape, mixes, right=right)
    (found,) = examine(W0, W, k=k, side="right" if right else "left")
    np.testing.assert_allclose(found.max_cosine, cosines[:k], atol=2e-4)
    # 0.5 itself is a planted value, so the thresholds lie between planted ones.
    for epsilon in (0.4, 0.6, 0.9):
        assert found.intruders(epsilon) == [j for j, c in enumerate(cosines[:k]) if c < epsilon]
    # Negative control: the side that was not mixed has none.
    (other,) = examine(W0, W, k=k, side="left" if right else "right")
    assert other.intruders(0.9) == []


@settings(max_examples=30, deadline=None)
@given(shape=shapes, mixes=mixtures, seed=st.integers(0, 9999))
def test_signs_and_rotations_change_nothing(shape: tuple[int, int], mixes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    W0, W, _ = planted(rng, *shape, mixes)
    expected = examine(W0, W, side="both")
    Q, R = (torch.from_numpy(orthogonal(rng, n)).float() for n in shape)
    for a, b in ((-W0, W), (W0, -W), (Q @ W0 @ R, Q @ W @ R)):
        for one, two in zip(expected, examine(a, b, side="both"), strict=True):
            torch.testing.assert_close(one.max_cosine, two.max_cosine, atol=5e-4, rtol=0)


def test_an_intruder_outside_the_span_of_a_tall_base(rng: np.random.Generator) -> None:
    # m > n: the null space of W0ᵀ holds no singular vector of the thin SVD, so a spike there matches nothing.
    W0 = torch.zeros(6, 3)
    W0[:3] = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    W = W0.clone()
    W[5, 0] = 9.0
    (found,) = examine(W0, W, k=3)
    assert found.intruders(0.5) == [0]
    assert found.dimension == 6
    assert found.num_base_vectors == 3


@settings(max_examples=30, deadline=None)
@given(m=st.integers(1, 40), n=st.integers(1, 40), seed=st.integers(0, 9999))
def test_equals_the_papers_procedure(m: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    W0 = torch.randn(m, n, generator=generator)
    W = W0 + torch.randn(m, 1, generator=generator) @ torch.randn(1, n, generator=generator)
    (found,) = examine(W0, W, k=10)
    torch.testing.assert_close(found.max_cosine, paper_max_cosines(W0, W), atol=1e-4, rtol=0)
    assert len(found.singular_values) == min(10, m, n)
    assert found.cosines.shape == (min(10, m, n), min(10, m, n))


def test_nearest_is_where_the_best_cosine_is(rng: np.random.Generator) -> None:
    W0 = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    W = torch.diag(torch.tensor([4.0, 3.0, 2.0, 9.0]))  # the last direction is now the first
    (found,) = examine(W0, W, k=4)
    assert found.nearest.tolist() == [3, 0, 1, 2]
    assert found.intruders(0.5) == []


def _subspace_cosines(W0: np.ndarray, W: np.ndarray, num_values: int, k: int) -> np.ndarray:
    """In float64 numpy: the best cosine with what the vectors of each of the base's `num_values` distinct values span."""
    U0, s0, _ = np.linalg.svd(W0, full_matrices=False)
    U, s, _ = np.linalg.svd(W, full_matrices=False)
    rank = int((s0 > 1e-9 * s0[0]).sum())
    starts = np.flatnonzero(np.r_[True, s0[: rank - 1] - s0[1:rank] > 1e-4 * s0[0]])
    assert len(starts) == num_values  # by construction
    examined = U[:, : min(k, int((s > 1e-9 * s[0]).sum()))]
    return np.sqrt(np.add.reduceat((U0[:, :rank].T @ examined) ** 2, starts, axis=0)).max(axis=0)


def _turned(rng: np.random.Generator, U: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Another basis of each eigenspace above zero."""
    values = np.round(s, 5)
    groups = [np.flatnonzero(values == value) for value in np.unique(values) if value > 0]
    return np.hstack([U[:, group] @ orthogonal(rng, len(group)) for group in groups])


DEGENERATE = {
    "repeated": lambda p: np.repeat(np.linspace(3.0, 1.0, p // 4), 4),
    "a pair among others": lambda p: np.r_[5.0, 4.0, 4.0, np.linspace(3.0, 1.0, p - 3)],
    "orthogonal": lambda p: np.full(p, 2.0),
    "of rank one": lambda p: np.r_[3.0, np.zeros(p - 1)],
    "of rank eight, repeated": lambda p: np.r_[np.full(8, 3.0), np.zeros(p - 8)],
    "half of it null": lambda p: np.r_[np.linspace(3.0, 1.0, p // 2), np.zeros(p - p // 2)],
    "clustered to rounding": lambda p: np.repeat(np.linspace(3.0, 1.0, p // 4), 4) * (1 + 1e-8 * np.arange(p) / p),
}


@pytest.mark.parametrize("method", ["exact", "certified"])
@pytest.mark.parametrize("shape", [(60, 60), (48, 80), (200, 200), (240, 160)])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", sorted(DEGENERATE))
def test_where_base_values_agree_the_cosine_is_that_with_their_subspace(
    name: str, side: str, shape: tuple[int, int], method: str
) -> None:
    """The right value by numpy in float64; the matrices differ by a rotation that mixes what is one eigenspace."""
    s = DEGENERATE[name](min(shape))
    for seed in range(2):
        rng = np.random.default_rng(seed)
        U, s, Vh = with_spectrum(rng, *shape, s)
        W0 = (U * s) @ Vh
        # Distinct leading values of W, so that its own vectors are defined; directions in and out of the base's span.
        k = 6
        spikes = U[:, :k] @ orthogonal(rng, k) * 0.8 + 0.6 * np.linalg.qr(rng.standard_normal((shape[0], k)))[0]
        spikes = np.linalg.qr(spikes)[0]
        W = (spikes * np.linspace(30.0, 10.0, k)) @ orthogonal(rng, shape[1])[:k] + W0
        expected = _subspace_cosines(W0, W, len(np.unique(np.round(s[s > 0], 5))), k)
        pair = [torch.from_numpy(M if side == "left" else M.T).float() for M in (W0, W)]
        (found,) = examine(*pair, k=k, side=side, method=method)
        single = np.abs(_turned(rng, U, s).T @ np.linalg.svd(W)[0][:, :k]).max(axis=0)
        for cosines in (expected, single):  # whatever basis is taken of an eigenspace
            for bounds, sign in ((found.lower, 1), (found.upper, -1)):
                assert (sign * (bounds.numpy() - cosines[: len(bounds)]) <= 2e-3).all()
        for epsilon in (0.3, 0.5, 0.8):
            certain = np.abs(expected - epsilon) > 2e-3
            decided = examine(*pair, k=k, epsilon=epsilon, side=side, method=method)[0].intruders(epsilon)
            assert [j in decided for j in np.flatnonzero(certain)] == (expected < epsilon)[certain].tolist()
        if name in ("repeated", "orthogonal") and method == "exact":
            assert "agree to rounding" in found.note


@pytest.mark.parametrize("method", ["exact", "certified", "auto"])
@pytest.mark.parametrize("rank", [1, 4, 8])
def test_vectors_below_rounding_are_not_examined(rank: int, method: str) -> None:
    generator = torch.Generator().manual_seed(rank)
    B = torch.randn(400, rank, generator=generator)  # base and tuned in one column space: no intruders
    W0, W = (B @ torch.randn(rank, 400, generator=generator) for _ in range(2))
    (found,) = examine(W0, W, epsilon=0.05, method=method)
    assert found.intruders(0.05) == []
    assert len(found.upper) == rank
    assert found.note == f"only {rank} of 10 vectors examined: the others' singular values are below rounding"


@pytest.mark.parametrize("method", ["exact", "certified", "auto"])
def test_a_zero_base_has_no_directions(method: str) -> None:
    (found,) = examine(torch.zeros(400, 390), torch.randn(400, 390), method=method)
    assert found.intruders(0.5) == []
    assert found.num_base_vectors == 0
    assert found.note == "the base is zero here: it has no directions to match"


def test_equal_leading_values_of_the_tuned_matrix_are_told() -> None:
    W = torch.diag(torch.tensor([5.0, 5.0, 2.0, 1.0]))
    assert "any vectors of what they span" in examine(torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])), W)[0].note
    assert examine(torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])), 2 * W.diag().cumsum(0).diag())[0].note == ""


@pytest.mark.parametrize("method", ["exact", "certified"])
@pytest.mark.parametrize("shape", [(200, 200), (300, 150)])
def test_novelty_is_what_lies_outside_the_leading_base_vectors(shape: tuple[int, int], method: str) -> None:
    rng = np.random.default_rng(0)
    U, s, Vh = with_spectrum(rng, *shape, np.r_[np.linspace(9.0, 5.0, 8), np.linspace(4.0, 0.5, min(shape) - 8)])
    W0 = (U * s) @ Vh
    inside = (U[:, 0] + U[:, 7]) / 2**0.5  # a rotation among leading vectors: far from each, and nothing new
    outside = U[:, 60]
    W = W0 + 40 * np.outer(inside, rng.standard_normal(shape[1]) / shape[1] ** 0.5)
    W = W + 30 * np.outer(outside, rng.standard_normal(shape[1]) / shape[1] ** 0.5)
    U1 = np.linalg.svd(W)[0][:, :4]
    expected = 1 - ((U[:, :8].T @ U1) ** 2).sum(axis=0)
    assert expected[0] < 0.1 < 0.8 < expected[1]  # the case is what it should be
    (found,) = examine(torch.from_numpy(W0).float(), torch.from_numpy(W).float(), k=4, epsilon=0.75, method=method)
    np.testing.assert_allclose(found.novelty, expected, atol=0.02)


SCALES = [(torch.float32, e) for e in (-38, -30, -20, -10, 10, 20, 30, 37)]
SCALES += [(torch.float64, e) for e in (-300, -100, -20, 20, 100, 300)]


@pytest.mark.parametrize(("dtype", "exponent"), SCALES)
@pytest.mark.parametrize("method", ["exact", "certified"])
@pytest.mark.parametrize("which", ["both", "base", "tuned"])
def test_verdicts_do_not_depend_on_scale(dtype: torch.dtype, exponent: int, method: str, which: str) -> None:
    generator = torch.Generator().manual_seed(0)
    W0 = torch.randn(140, 150, generator=generator, dtype=torch.float64)
    W = W0 + 3 * torch.randn(140, 2, generator=generator, dtype=torch.float64) @ torch.randn(
        2, 150, generator=generator, dtype=torch.float64
    )
    (expected,) = examine(W0, W, k=4, method="exact")
    a, b = (10.0 ** (exponent if which in ("both", side) else 0) for side in ("base", "tuned"))
    (found,) = examine((a * W0).to(dtype), (b * W).to(dtype), k=4, method=method)
    assert found.intruders(0.5) == expected.intruders(0.5)
    assert len(expected.intruders(0.5)) in (1, 2)
    rel = 1e-2 if exponent == -38 else 1e-4  # single precision has no more than 15 bits left there
    np.testing.assert_allclose(found.singular_values / b, expected.singular_values, rtol=rel)
    np.testing.assert_allclose(found.base_singular_values / a, expected.base_singular_values, rtol=rel)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    W0, W = torch.randn(40, 30).to(dtype), torch.randn(40, 30).to(dtype)
    torch.testing.assert_close(examine(W0, W)[0].upper, examine(W0.float(), W.float())[0].upper)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"k": 1.5}, "k must be a whole number"),
        ({"epsilon": "x"}, "epsilon must be a number or several"),
        ({"epsilon": None}, "epsilon must be a number or several"),
        ({"side": "up"}, "side must be one of left, right, both"),
        ({"method": "guess"}, "method must be one of auto, exact"),
    ],
)
def test_refuses_options_in_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examine(torch.eye(3), torch.eye(3), **options)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (torch.zeros(0, 3), "W0 has the shape"),
        (torch.zeros(3), "W0 has the shape"),
        (torch.tensor([[math.nan]]), "W0 holds NaN or Inf"),
        (torch.ones(2, 2, dtype=torch.complex64), "W0 is complex"),
    ],
)
def test_refuses_what_is_no_real_matrix(W: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examine(W, W)


def test_refuses_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(3, 3\) and \(4, 3\)"):
        examine(torch.eye(3), torch.ones(4, 3))
