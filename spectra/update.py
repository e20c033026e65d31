"""How large an update is, how many directions it has, and which lead."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from .linalg import (
    SVD,
    Difference,
    LinAlgError,
    LowRank,
    Operator,
    Tuned,
    Updated,
    effective_rank,
    estimated_effective_rank,
    leading,
    num_leading,
    remainder_norm,
    singular_values,
    sketch,
    stable_rank,
)

RANKS = ("exact", "estimated")
# An update is taken to be of low rank when what a sketch of this width leaves changes its effective rank by less than
# a hundredth, for certain. A wider sketch than a sixth of the matrix saves nothing over its singular values.
_WIDTHS = (16, 64, 256)
_CERTAIN = 0.01


class Update:
    """``ΔW`` of one matrix, given as the tuned weights or as low-rank factors.

    Parameters
    ----------
    W0 : Tensor, shape (out, in)
    tuned : Tensor of the same shape, or LowRank
        ``W``, or ``ΔW`` as factors; then neither ``W`` nor ``ΔW`` is formed.
    """

    def __init__(self, W0: Tensor, tuned: Tensor | LowRank) -> None:
        self.W0 = W0
        self._tuned = tuned
        self._found: SVD | None = None
        self.base_norm = float(torch.linalg.vector_norm(W0))

    @property
    def W(self) -> Tuned:  # noqa: N802 - the field's own name
        """The tuned weights, as an operator."""
        return Updated(self.W0, self._tuned) if isinstance(self._tuned, LowRank) else self._tuned

    @cached_property
    def norm(self) -> float:
        """``‖W‖_F``."""
        W = self.W
        return W.norm() if isinstance(W, Updated) else float(torch.linalg.vector_norm(self._tensor()))

    def directions(self) -> SVD:
        """Leading singular triplets of ``ΔW``: all, for factors, else those a narrow sketch sees."""
        if self._found is None:
            factors = self._tuned
            self._found = factors.svd() if isinstance(factors, LowRank) else sketch(self._difference(), _WIDTHS[0])
        return self._found

    def spectral_norm(self) -> float:
        """``‖ΔW‖_2``, to a part in ten thousand (the value's error is the square of the vector's)."""
        near = self.directions()
        if isinstance(self._tuned, LowRank):
            return float(near.s[0])
        found = None
        if num_leading(*self.W0.shape) >= 1:
            start = near.Vh.mT if self.W0.shape[0] >= self.W0.shape[1] else near.U
            found = leading(self._difference(), 1, angle=0.01, start=start[:, :2])
        return float(found.s[0] if found else torch.linalg.matrix_norm(self._tensor() - self.W0, 2))

    def measures(self, ranks: str = "exact") -> dict[str, float]:
        """Size and rank of ``ΔW``.

        Parameters
        ----------
        ranks : {"exact", "estimated"}
            What to do where ``ΔW`` is of full rank: take all its singular values, or estimate the effective rank.

        Returns
        -------
        dict
            ``effective_rank`` and ``effective_rank_error``, which is 0 for singular values, a bound where ``ΔW`` has a
            small remainder beside a low rank, and a standard error where estimated; ``stable_rank``; ``base_norm``,
            ``delta_norm`` (Frobenius) and ``delta_spectral_norm``, in the units of the weights;
            ``relative_delta = ‖ΔW‖_F / ‖W0‖_F`` (NaN for a zero base).
        """
        if isinstance(self._tuned, LowRank):
            s = self.directions().s
            return self._row(s, float(torch.linalg.vector_norm(s.double())), effective_rank(s), 0.0)
        return self._low_rank() or (self._estimated() if ranks == "estimated" else self._exact())

    def _exact(self) -> dict[str, float]:
        try:
            s = singular_values(self._tensor() - self.W0, overwrite=True)
        except LinAlgError:
            s = singular_values(self._tensor() - self.W0)
        return self._row(s, float(torch.linalg.vector_norm(s.double())), effective_rank(s), 0.0)

    def _low_rank(self) -> dict[str, float] | None:
        """The measures, if the update is of low rank up to rounding."""
        delta = self._tensor() - self.W0
        norm = float(torch.linalg.vector_norm(delta))
        for width in _WIDTHS:
            if width > max(_WIDTHS[0], min(delta.shape) // 6):
                return None
            found = sketch(delta, width)
            self._found = self._found or found
            if norm**2 - float((found.s.double() ** 2).sum()) <= 1e-5 * norm**2:
                rest = remainder_norm(delta, found)
                rank, error = effective_rank(found.s), _raised_by(rest, found.s, min(delta.shape))
                return self._row(found.s, norm, rank, error) if error <= _CERTAIN * rank else None
        return None

    def _estimated(self) -> dict[str, float]:
        delta = self._tensor() - self.W0
        if num_leading(*delta.shape) < 1 or (top := leading(delta, 1, angle=0.01)) is None:
            return self._exact()
        found = estimated_effective_rank(delta)
        norm = float(torch.linalg.vector_norm(delta))
        return self._row(top.s[:1], norm, found.value, found.standard_error)

    def _row(self, s: Tensor, norm: float, rank: float, error: float) -> dict[str, float]:
        largest = float(s[0])
        return {
            "effective_rank": rank,
            "effective_rank_error": error,
            "stable_rank": stable_rank(s)
            if len(s) == min(self.W0.shape)
            else (norm / largest) ** 2
            if largest
            else 0.0,
            "base_norm": self.base_norm,
            "delta_norm": norm,
            "delta_spectral_norm": largest,
            "relative_delta": norm / self.base_norm if self.base_norm else math.nan,
        }

    def _tensor(self) -> Tensor:
        assert isinstance(self._tuned, Tensor)  # the callers have looked
        return self._tuned

    def _difference(self) -> Operator:
        return Difference(self._tensor(), self.W0)


def _raised_by(rest: float, s: Tensor, p: int) -> float:
    """By how much a remainder of norm `rest` can raise the effective rank that `s` alone has.

    Its ``p − r`` singular values sum to at most ``√(p − r) · rest``, a share ``P`` of all; the entropy is then
    ``h(P) + (1 − P) H(s) + P H(remainder)``, the last at most ``log(p − r)``.
    """
    others = p - len(s)
    if others == 0 or rest == 0:
        return 0.0
    share = math.sqrt(others) * rest / (float(s.double().sum()) + math.sqrt(others) * rest)
    mixing = -share * math.log(share) - (1 - share) * math.log1p(-share) if share < 1 else 0.0
    rank = effective_rank(s)
    return rank * math.expm1(mixing + share * max(0.0, math.log(others) - math.log(rank)))
