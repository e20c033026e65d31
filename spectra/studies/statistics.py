"""What a study may conclude: rank correlation with its interval, and spreads over seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

_MANY = 10  # pairs from which on the t approximation of the p-value is good


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ of `n` pairs, its two-sided p-value, and a 95% bootstrap interval."""

    rho: float
    p: float
    low: float
    high: float
    n: int

    @property
    def direction(self) -> int:
        """1 or -1 where interval and p-value (0.05) agree that there is one, else 0."""
        if not self.p < 0.05:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def __str__(self) -> str:
        if math.isnan(self.rho):
            return f"no ρ, as a side is constant or they are too few; n = {self.n}"
        return f"ρ = {self.rho:.2f} (95% {self.low:.2f} to {self.high:.2f}; p = {self.p:.1g}; n = {self.n})"


def rank_correlation(
    x: Sequence[float], y: Sequence[float], *, seed: int = 0, resamples: int = 5000
) -> RankCorrelation:
    """Spearman's rank correlation; pairs with a NaN are left out.

    The interval is the percentile bootstrap over the pairs (Efron & Tibshirani 1993, section 13.3), a constant resample
    counting as no correlation; the p-value is by permutation where there are fewer than ten pairs, by the t
    approximation else. All NaN, so no direction, where a side is constant or fewer than four pairs are left.

    Examples
    --------
    >>> found = rank_correlation(range(12), [v**3 for v in range(12)])
    >>> found.rho > 0.999 and found.low > 0.999
    True
    """
    pairs = np.array([(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))], dtype=float)
    a, b = (scipy.stats.rankdata(column) for column in pairs.reshape(-1, 2).T)
    if len(pairs) < 4 or not a.std() or not b.std():  # a constant side has no correlation
        return RankCorrelation(math.nan, math.nan, math.nan, math.nan, len(pairs))
    rho = _pearson(a, b)
    rng = np.random.default_rng(seed)
    if len(pairs) >= _MANY:
        p = float(scipy.stats.spearmanr(*pairs.T).pvalue)
    else:
        every = math.factorial(len(b)) <= resamples
        orders = itertools.permutations(b) if every else (rng.permutation(b) for _ in range(resamples))
        as_extreme = [abs(_pearson(a, np.asarray(order))) >= abs(rho) - 1e-12 for order in orders]
        p = float(np.mean(as_extreme)) if every else (1 + sum(as_extreme)) / (1 + resamples)
    draws = [
        _pearson(*(scipy.stats.rankdata(column) for column in pairs[chosen].T))
        for chosen in rng.integers(0, len(pairs), (resamples, len(pairs)))
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return RankCorrelation(rho, p, float(low), float(high), len(pairs))


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Of ranks; none, where a resample is constant on one side."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation, in words; the mean alone of one value.

    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    array = np.asarray(values, dtype=float)
    mean = f"{array.mean():.{digits}f}"
    return f"{mean} ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else mean
