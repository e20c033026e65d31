"""What a study may conclude: rank correlation with its interval, and spreads over seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

_MANY = 10  # pairs from which on the t approximation of the p-value is good; of fewer every order is tried


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
        """The sign of ρ where its p-value is below 0.05, else 0; the interval of few pairs is too coarse to decide."""
        return int(math.copysign(1, self.rho)) if self.p < 0.05 else 0

    def __str__(self) -> str:
        if math.isnan(self.rho):
            return f"no ρ, as a side is constant or they are too few; n = {self.n}"
        return f"ρ = {self.rho:.2f} (95% {self.low:.2f} to {self.high:.2f}; p = {self.p:.2g}; n = {self.n})"


def rank_correlation(
    x: Sequence[float],
    y: Sequence[float],
    *,
    given: Sequence[float] | None = None,
    seed: int = 0,
    resamples: int = 5000,
) -> RankCorrelation:
    """Spearman's rank correlation; pairs with a NaN are left out.

    The interval is the percentile bootstrap over the pairs (Efron & Tibshirani 1993, section 13.3), a constant resample
    counting as no correlation; the p-value is over all orders where there are fewer than ten pairs, by the t
    approximation else. With `given` it is the partial rank correlation with that held fixed (Kendall & Gibbons 1990,
    chapter 8): of the residuals of the ranks regressed on its ranks, with one degree of freedom less. All NaN, so no
    direction, where a side is constant or fewer than four pairs are left.

    Examples
    --------
    >>> found = rank_correlation(range(12), [v**3 for v in range(12)])
    >>> found.rho > 0.999 and found.low > 0.999
    True
    """
    columns = [x, y] if given is None else [x, y, given]
    rows = np.array([row for row in zip(*columns, strict=True) if not any(map(math.isnan, row))], dtype=float)
    rows = rows.reshape(-1, len(columns))
    n = len(rows)
    if n < 4 or not rows.std(axis=0).all():  # a constant side has no correlation
        return RankCorrelation(math.nan, math.nan, math.nan, math.nan, n)
    ranks = _centred_ranks(rows)
    rho = float(_correlation(ranks))
    if given is None and n < _MANY:
        a, b = ranks.T
        orders = np.fromiter(itertools.chain.from_iterable(itertools.permutations(b)), dtype=float).reshape(-1, n)
        p = float(np.mean(abs(orders @ a) >= abs(a @ b) - 1e-9))
    else:
        # Of |t| with n − 2 degrees of freedom, one less with something held fixed; this way ρ = 1 has one too.
        p = float(scipy.special.betainc((n - len(columns)) / 2, 0.5, max(1 - rho**2, 0.0)))
    chosen = np.random.default_rng(seed).integers(0, n, (resamples, n))
    low, high = np.quantile(_correlation(_centred_ranks(rows[chosen])), [0.025, 0.975])
    return RankCorrelation(rho, p, float(low), float(high), n)


def _centred_ranks(rows: np.ndarray) -> np.ndarray:
    """Of each column, shape (..., n, columns)."""
    ranks: np.ndarray = scipy.stats.rankdata(rows, axis=-2)
    ranks -= ranks.mean(axis=-2, keepdims=True)
    return ranks


def _correlation(ranks: np.ndarray) -> np.ndarray:
    """Of the first two columns with the third, if there is one, held fixed, shape (...); 0 where a side is constant."""
    G = ranks.swapaxes(-1, -2) @ ranks
    if G.shape[-1] == 3:  # the Schur complement: products of the residuals of a regression on the third
        held = G[..., 2:, 2:]
        G = G[..., :2, :2] - G[..., :2, 2:] * G[..., 2:, :2] / np.where(held > 0, held, 1.0)
    size = np.sqrt(np.maximum(G[..., 0, 0] * G[..., 1, 1], 0.0))
    defined = size > 1e-9 * ranks.shape[-2]
    found: np.ndarray = np.where(defined, G[..., 0, 1], 0.0) / np.where(defined, size, 1.0)
    return found


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation, in words; the mean alone of one value.

    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    array = np.asarray(values, dtype=float)
    mean = f"{array.mean():.{digits}f}"
    return f"{mean} ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else mean
