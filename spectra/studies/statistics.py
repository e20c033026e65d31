"""What a study may conclude: rank correlation with its interval, and spreads over seeds."""

from __future__ import annotations

import functools
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
    """Spearman's ρ of `n` pairs, with `held` columns held fixed, and its two-sided p-value."""

    rho: float
    p: float
    n: int
    held: int = 0

    @property
    def low(self) -> float:
        """The lower end of the 95% interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """The upper end of the 95% interval."""
        return self.interval()[1]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Fisher's z with the standard error of Bonett and Wright (Psychometrika 2000).

        A ρ of one is taken half a swap short of it, as the interval of a few pairs in perfect order has a width too.
        """
        if math.isnan(self.rho):
            return math.nan, math.nan
        most = 1 - 6 / (self.n**3 - self.n)
        rho = min(max(self.rho, -most), most)
        width = scipy.special.ndtri((1 + level) / 2) * self._error(rho)
        return math.tanh(math.atanh(rho) - width), math.tanh(math.atanh(rho) + width)

    def power(self, rho: float) -> float:
        """How often so many pairs would show a true correlation of `rho`, in its direction, at p < 0.05."""
        if self.n - self.held < 4:
            return math.nan
        return float(scipy.special.ndtr(math.atanh(abs(rho)) / self._error(rho) - scipy.special.ndtri(0.975)))

    def _error(self, rho: float) -> float:
        return math.sqrt((1 + rho**2 / 2) / (self.n - 3 - self.held))

    @property
    def direction(self) -> int:
        """The sign of ρ where its p-value is below 0.05, else 0."""
        return int(math.copysign(1, self.rho)) if self.p < 0.05 else 0

    def __str__(self) -> str:
        if math.isnan(self.rho):
            return f"no ρ, as a side is constant or they are too few; n = {self.n}"
        return f"ρ = {self.rho:.2f} (95% {self.low:.2f} to {self.high:.2f}; p = {self.p:.2g}; n = {self.n})"


def rank_correlation(
    x: Sequence[float], y: Sequence[float], *, given: Sequence[float] | None = None
) -> RankCorrelation:
    """Spearman's rank correlation; pairs with a NaN are left out.

    The p-value is over all orders where there are fewer than ten pairs, by the t approximation else. With `given` it is
    the partial rank correlation with that held fixed (Kendall & Gibbons 1990, chapter 8): of the residuals of the ranks
    regressed on its ranks, with one degree of freedom less. All NaN, so no direction, where a side is constant or fewer
    than four pairs are left (five with `given`).

    Examples
    --------
    >>> found = rank_correlation(range(12), [v**3 for v in range(12)])
    >>> found.rho > 0.999 and found.low > 0.9
    True
    """
    columns = [x, y] if given is None else [x, y, given]
    rows = np.array([row for row in zip(*columns, strict=True) if not any(map(math.isnan, row))], dtype=float)
    rows = rows.reshape(-1, len(columns))
    n, held = len(rows), len(columns) - 2
    if n < 4 + held or not rows.std(axis=0).all():  # a constant side has no correlation
        return RankCorrelation(math.nan, math.nan, n, held)
    ranks = scipy.stats.rankdata(rows, axis=0)
    ranks -= ranks.mean(axis=0)
    a, b, *others = ranks.T
    for other in others:  # the residuals of a regression on the ranks of what is held fixed
        a, b = (side - (side @ other) / (other @ other) * other for side in (a, b))
    size = math.sqrt((a @ a) * (b @ b))
    rho = float(np.clip(a @ b / size, -1, 1)) if size > 1e-9 * n else 0.0  # nothing is left of a side
    if not held and n < _MANY:
        p = float(np.mean(abs(b[_orders(n)] @ a) >= abs(a @ b) - 1e-9))
    else:
        # Of |t| with n − 2 degrees of freedom, one less with something held fixed; this way ρ = 1 has one too.
        p = float(scipy.special.betainc((n - 2 - held) / 2, 0.5, max(1 - rho**2, 0.0)))
    return RankCorrelation(rho, p, n, held)


@functools.cache
def _orders(n: int) -> np.ndarray:
    """All orders of so many, shape (n!, n)."""
    return np.array(list(itertools.permutations(range(n))), dtype=np.int8)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation, in words; the mean alone of one value.

    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    array = np.asarray(values, dtype=float)
    mean = f"{array.mean():.{digits}f}"
    return f"{mean} ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else mean
