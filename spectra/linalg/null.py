"""What chance alone gives: the best cosine of a random direction with an orthonormal basis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

# 2,000 draws put the standard error of a probability below 0.012, finer than any reading of a count needs.
NUM_SAMPLES = 2000
# Draws are made in blocks of at most this many normals (64 MB), so that a vocabulary-sized m needs no more memory.
_BLOCK = 8_000_000


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
    largest, squared_norm = [], []
    per_block = max(1, _BLOCK // num_vectors)
    for start in range(0, NUM_SAMPLES, per_block):
        g2 = np.square(rng.standard_normal((min(per_block, NUM_SAMPLES - start), num_vectors)))
        largest.append(g2.max(axis=1))
        squared_norm.append(g2.sum(axis=1) + (rng.chisquare(rest, len(g2)) if rest else 0.0))
    samples = np.sqrt(np.concatenate(largest) / np.concatenate(squared_norm))
    return RandomDirectionNull(dimension, num_vectors, np.sort(samples))
