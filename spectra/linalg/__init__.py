"""Tensors in, tensors out: decompositions in full and in part, bounds on cosines, ranks, the random-direction null.

Matrices are ``(out, in)``; decompositions are ``U, s, Vh`` with ``W == (U * s) @ Vh`` and ``s`` descending.
"""

from .atoms import atom_bounds
from .cosines import absolute_cosines
from .leading import BLOCK, Leading, leading, num_leading
from .low_rank import LowRank, Tuned, Updated, is_finite
from .matching import Match, match
from .null import RandomDirectionNull, random_direction_null
from .operators import Difference, Operator, times
from .positive import least_singular_value
from .quadrature import Estimate, estimated_sums
from .ranks import effective_rank, stable_rank
from .rounding import best_cosines, eigenspaces, num_above_rounding, rounding
from .sketch import remainder_norm, sketch
from .svd import SVD, LinAlgError, singular_values, svd

__all__ = [
    "BLOCK",
    "SVD",
    "Difference",
    "Estimate",
    "Leading",
    "LinAlgError",
    "LowRank",
    "Match",
    "Operator",
    "RandomDirectionNull",
    "Tuned",
    "Updated",
    "absolute_cosines",
    "atom_bounds",
    "best_cosines",
    "effective_rank",
    "eigenspaces",
    "estimated_sums",
    "is_finite",
    "leading",
    "least_singular_value",
    "match",
    "num_above_rounding",
    "num_leading",
    "random_direction_null",
    "remainder_norm",
    "rounding",
    "singular_values",
    "sketch",
    "stable_rank",
    "svd",
    "times",
]
