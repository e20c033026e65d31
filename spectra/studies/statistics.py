"""What a study may conclude: rank correlation with its interval, and spreads over seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ of `n` pairs, its two-sided p-value, and a 95% bootstrap interval."""

    rho: float
    p: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"ρ = {self.rho:.2f} (95% {self.low:.2f} to {self.high:.2f}; p = {self.p:.1g}; n = {self.n})"


def rank_correlation(
    x: Sequence[float], y: Sequence[float], *, seed: int = 0, resamples: int = 5000
) -> RankCorrelation:
    """Spearman's rank correlation; pairs with a NaN are left out.

    The interval is the percentile bootstrap over the pairs (Efron & Tibshirani 1993, section 13.3); the p-value is by
    permutation where there are fewer than ten pairs, by the t approximation else.

    Raises
    ------
    ValueError
        If fewer than four pairs are left.

    Examples
    --------
    >>> found = rank_correlation(range(12), [v**3 for v in range(12)])
    >>> found.rho > 0.999 and found.low > 0.999
    True
    """
    pairs = np.array([(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))], dtype=float)
    if len(pairs) < 4:
        raise ValueError(f"a rank correlation needs four pairs at least, got {len(pairs)}")
    ranks = np.column_stack([scipy.stats.rankdata(column) for column in pairs.T])
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a constant side has no correlation: NaN says so
        rho, p = scipy.stats.spearmanr(*pairs.T)
        if len(pairs) < 10:
            p = scipy.stats.permutation_test(
                (ranks[:, 0],),
                lambda a: float(np.corrcoef(a, ranks[:, 1])[0, 1]),
                permutation_type="pairings",
                n_resamples=resamples,
                rng=rng,
            ).pvalue
        draws = []
        for chosen in rng.integers(0, len(pairs), (resamples, len(pairs))):
            a, b = (scipy.stats.rankdata(column) for column in pairs[chosen].T)
            if a.std() and b.std():
                draws.append(float(np.corrcoef(a, b)[0, 1]))
    low, high = np.quantile(draws, [0.025, 0.975]) if draws else (math.nan, math.nan)
    return RankCorrelation(float(rho), float(p), float(low), float(high), len(pairs))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation, in words; the mean alone of one value.

    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    array = np.asarray(values, dtype=float)
    mean = f"{array.mean():.{digits}f}"
    return f"{mean} ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else mean
