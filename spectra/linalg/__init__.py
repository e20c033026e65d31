"""Tensors in, tensors out: singular value decompositions, cosines, ranks, low-rank updates, the random-direction null.

Matrices are ``(out, in)``; decompositions are ``U, s, Vh`` with ``W == (U * s) @ Vh`` and ``s`` descending.
"""

from .cosines import absolute_cosines
from .low_rank import LowRank
from .null import RandomDirectionNull, random_direction_null
from .ranks import effective_rank, stable_rank
from .svd import SVD, singular_values, svd

__all__ = [
    "SVD",
    "LowRank",
    "RandomDirectionNull",
    "absolute_cosines",
    "effective_rank",
    "random_direction_null",
    "singular_values",
    "stable_rank",
    "svd",
]
