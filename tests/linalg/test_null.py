from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, ks_2samp

from spectra.linalg import random_direction_null


@pytest.mark.parametrize(("m", "p"), [(2, 2), (3, 3), (5, 2), (8, 8)])
def test_agrees_with_the_exact_law_where_it_is_known(m: int, p: int) -> None:
    # Above √½ at most one coordinate can exceed t, so P(max > t) = p · P(Beta(½, (m−1)/2) > t²) exactly.
    null = random_direction_null(m, p)
    for t in (0.75, 0.9, 0.97):
        exact = p * beta.sf(t * t, 0.5, (m - 1) / 2)
        assert 1 - null.prob_below(t) == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 2000) ** 0.5 + 1e-3)


def test_agrees_with_directions_against_a_random_basis(rng: np.random.Generator) -> None:
    basis = np.linalg.qr(rng.standard_normal((30, 12)))[0]
    g = rng.standard_normal((4000, 30))
    best = np.abs(g @ basis).max(axis=1) / np.linalg.norm(g, axis=1)
    null = random_direction_null(30, 12)
    for q in (0.1, 0.5, 0.9):
        assert null.quantile(q) == pytest.approx(np.quantile(best, q), abs=0.015)


def test_bounds() -> None:
    null = random_direction_null(64, 64)
    assert null.least == pytest.approx(1 / 8)
    assert null.samples.min() >= null.least
    assert null.prob_below(null.least) == 0
    assert null.prob_below(1.0) == 1
    assert random_direction_null(64, 32).least == 0


def test_one_vector_in_one_dimension_is_always_itself() -> None:
    assert random_direction_null(1, 1).samples.tolist() == pytest.approx([1.0] * 2000)


def test_same_seed_same_samples_and_global_state_untouched() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = random_direction_null.__wrapped__(17, 9, seed=5).samples
    np.testing.assert_array_equal(first, random_direction_null.__wrapped__(17, 9, seed=5).samples)
    assert not np.array_equal(first, random_direction_null.__wrapped__(17, 9, seed=6).samples)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_blocks_give_a_sample_of_the_right_size() -> None:
    assert random_direction_null(30_000, 30_000).samples.shape == (2000,)


@pytest.mark.parametrize(("m", "p"), [(3, 4), (3, 0)])
def test_refuses_an_impossible_basis(m: int, p: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        random_direction_null(m, p)


def test_many_vectors_are_drawn_from_the_same_law_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for m, p in ((300, 300), (900, 300)):
        random_direction_null.cache_clear()
        monkeypatch.setattr("spectra.linalg.null._MANY", 10**6)
        few = random_direction_null(m, p)
        random_direction_null.cache_clear()
        monkeypatch.setattr("spectra.linalg.null._MANY", 256)
        many = random_direction_null(m, p)
        assert ks_2samp(few.samples, many.samples).pvalue > 0.01
    random_direction_null.cache_clear()
