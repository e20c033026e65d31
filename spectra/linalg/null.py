"""What chance alone gives: the best cosine of a random direction with an orthonormal basis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

# 2,000 draws put the standard error of a probability below 0.012, finer than any reading of a count needs.
NUM_SAMPLES = 2000
# From here on, drawing every coordinate would cost more than the comparison it stands beside.
_MANY = 256


@dataclass(frozen=True)
class RandomDirectionNull:
    """Distribution of ``max_i |cos(g, x_i)|``, ``g`` uniform on the sphere in ``R^m``, ``x_i`` orthonormal.

    Attributes
    ----------
    dimension : int
        ``m``, the length of the vectors.
    num_vectors : int
        How many ``x_i`` there are; at most ``m``.
    samples : ndarray, shape (NUM_SAMPLES,)
        Sorted draws of the maximum.
    """

    dimension: int
    num_vectors: int
    samples: npt.NDArray[np.float64]

    def quantile(self, q: float) -> float:
        """The cosine that a random direction stays below with probability `q`."""
        return float(np.quantile(self.samples, q))

    def prob_below(self, epsilon: float) -> float:
        """Probability that a random direction would be called an intruder at `epsilon`."""
        return float(np.searchsorted(self.samples, epsilon, side="left") / len(self.samples))

    @property
    def least(self) -> float:
        """The least maximum possible: ``1/√m`` against a full basis (pigeonhole on Parseval), else 0."""
        return float(self.dimension**-0.5) if self.num_vectors == self.dimension else 0.0


@lru_cache(maxsize=256)
def random_direction_null(dimension: int, num_vectors: int, *, seed: int = 0) -> RandomDirectionNull:
    """Sample the null for `num_vectors` orthonormal vectors in ``R^dimension``.

    The law is invariant under rotation, so the basis may be taken to be the first coordinate axes: the maximum is
    ``max_{i <= num_vectors} |g_i| / ‖g‖`` for a standard normal ``g`` (Muller 1959). Only the coordinates along the
    basis are drawn; the squared norm of the rest is a chi-square variable.

    Raises
    ------
    ValueError
        If `num_vectors` is not between 1 and `dimension`.
    """
    if not 1 <= num_vectors <= dimension:
        raise ValueError(f"{num_vectors} orthonormal vectors do not fit in {dimension} dimensions")
    rng = np.random.default_rng([seed, dimension, num_vectors])
    rest = dimension - num_vectors
    if num_vectors < _MANY:
        g2 = np.square(rng.standard_normal((NUM_SAMPLES, num_vectors)))
        largest, squared_norm = g2.max(axis=1), g2.sum(axis=1)
    else:
        largest, squared_norm = _of_many(rng, num_vectors)
    samples = np.sqrt(largest / (squared_norm + (rng.chisquare(rest, NUM_SAMPLES) if rest else 0.0)))
    return RandomDirectionNull(dimension, num_vectors, np.sort(samples))


def _of_many(rng: np.random.Generator, n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draws of ``max g_i²`` and ``Σ g_i²`` for `n` standard normals, without drawing each of them.

    The maximum of ``|g_i|`` has the distribution function ``(2Φ(x) − 1)^n``. Given it, ``M``, the others are
    independent normals cut off at ``±M``, and the sum of so many squares is normal with their mean and variance.
    """
    largest = ndtri((1 + rng.random(NUM_SAMPLES) ** (1 / n)) / 2)
    inside = 2 * ndtr(largest) - 1
    density = np.exp(-(largest**2) / 2) / math.sqrt(2 * math.pi)
    second = 1 - 2 * largest * density / inside
    fourth = 3 - 2 * (largest**3 + 3 * largest) * density / inside
    spread = np.sqrt((n - 1) * (fourth - second**2))
    others = (n - 1) * second + spread * rng.standard_normal(NUM_SAMPLES)
    return largest**2, largest**2 + others
