from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats

from spectra import rank_correlation
from spectra.studies.statistics import spread


def test_rho_and_p_are_scipys() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    found = rank_correlation(x.tolist(), y.tolist())
    expected = scipy.stats.spearmanr(x, y)
    assert (found.rho, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.low < found.rho < found.high
    assert rank_correlation(range(12), range(12)).p == 0.0


def test_few_pairs_get_a_permutation_p() -> None:
    found = rank_correlation([1, 2, 3, 4], [1, 2, 3, 4])
    assert found.p == pytest.approx(2 / 24)  # two of the 24 orders are as extreme; the t approximation says 0


def test_what_is_held_fixed_is_taken_out() -> None:
    rng = np.random.default_rng(2)
    size = rng.normal(size=40)
    x, y = (size + 0.3 * rng.normal(size=40) for _ in range(2))
    assert rank_correlation(x, y).direction == 1
    found = rank_correlation(x, y, given=size)
    ab, ac, bc = (scipy.stats.spearmanr(*both).statistic for both in ((x, y), (x, size), (y, size)))
    assert found.rho == pytest.approx((ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2)))
    t = found.rho * np.sqrt(37 / (1 - found.rho**2))
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(t), 37))
    assert found.direction == 0
    assert rank_correlation(x, y + 2 * x, given=size).direction == 1  # beyond it
    assert rank_correlation(size, y, given=size).rho == 0.0  # nothing is left of it


@pytest.mark.parametrize(("n", "rho"), [(8, 0.0), (8, 0.9), (29, 0.0), (29, 0.6)])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int, rho: float) -> None:
    rng = np.random.default_rng(1)
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of a normal pair
    covered = 0
    for _ in range(300):
        x, noise = rng.normal(size=(2, n))
        found = rank_correlation(x.tolist(), (rho * x + np.sqrt(1 - rho**2) * noise).tolist())
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 300 <= 0.99


def test_what_is_held_fixed_costs_the_interval_a_unit() -> None:
    rng = np.random.default_rng(4)
    x, y, size = rng.normal(size=(3, 12)).tolist()
    partial = rank_correlation(x, y, given=size)
    plain = dataclasses.replace(partial, held=0)
    assert partial.high - partial.low > plain.high - plain.low
    assert partial.power(0.5) < plain.power(0.5)


def test_a_few_pairs_in_perfect_order_have_a_wide_interval() -> None:
    assert rank_correlation(range(4), range(4)).low < 0
    assert rank_correlation(range(20), range(20)).low > 0.9


def test_the_power_is_how_often_a_true_correlation_shows() -> None:
    rng = np.random.default_rng(5)
    shown = 0
    for _ in range(300):
        x, noise = rng.normal(size=(2, 27))
        found = rank_correlation(x.tolist(), (0.52 * x + np.sqrt(1 - 0.52**2) * noise).tolist())
        shown += found.direction == 1
    assert shown / 300 == pytest.approx(found.power(0.5), abs=0.1)


@pytest.mark.parametrize("pairs", [3, 1, 0])
def test_pairs_with_a_hole_are_left_out_and_too_few_say_nothing(pairs: int) -> None:
    nan = float("nan")
    assert rank_correlation([1, 2, 3, 4, nan], [2, 3, 4, 5, 1]).n == 4
    found = rank_correlation([*range(pairs), nan], range(pairs + 1))
    assert (found.n, found.direction) == (pairs, 0)
    assert np.isnan([found.rho, found.p, found.low, found.high]).all()


def test_a_constant_side_has_no_correlation() -> None:
    found = rank_correlation([0.0] * 12, range(12))
    assert np.isnan([found.rho, found.p, found.low, found.high]).all()
    assert found.direction == 0
    assert str(found) == "no ρ, as a side is constant or they are too few; n = 12"


def test_one_count_in_one_run_is_no_trend() -> None:
    found = rank_correlation([1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert found.low <= 0
    assert found.direction == 0
    assert rank_correlation([1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 1, 0, 3, 4, 5, 9, 8, 9]).direction == 1
    assert rank_correlation([1, 1, 1, 2, 2, 2, 3, 3, 3], [9, 8, 9, 3, 4, 5, 0, 1, 0]).direction == -1


def test_spread() -> None:
    assert spread([0.5], 2) == "0.50"
    assert spread([1, 3], 1) == "2.0 ± 1.4"
