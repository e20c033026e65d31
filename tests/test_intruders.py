from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra import examine
from tests.oracles import orthogonal, paper_max_cosines, planted

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"side": "up"}, "side must be one of left, right, both"),
        ({"method": "guess"}, "method must be one of auto, exact"),
    ],
)
def test_refuses_options_in_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examine(torch.eye(3), torch.eye(3), **options)


def test_refuses_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(3, 3\) and \(4, 3\)"):
        examine(torch.eye(3), torch.ones(4, 3))
