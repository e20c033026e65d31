"""How large an update is, how many directions it has, and which lead."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from .linalg import (
    SVD,
    Difference,
    Estimate,
    LinAlgError,
    LowRank,
    Operator,
    Tuned,
    Updated,
    effective_rank,
    estimated_sums,
    leading,
    num_leading,
    remainder_norm,
    singular_values,
    sketch,
    stable_rank,
)
from .scaling import factors_near_one, norm_and_unit, scaled

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
        ``W``, or ``ΔW`` as factors; then neither ``W`` nor ``ΔW`` is formed. All values are finite.

    Attributes
    ----------
    unit : float
        The power of two that ``W``, ``W0`` and the singular triplets of this class are multiplied by, so that squares
        fit the precision: 1.0 but for very large or very small weights. `measures`, `base_norm`, `norm` and
        `spectral_norm` are in the units of the weights.

    Raises
    ------
    OverflowError
        If an update in factors is beyond every number.
    """

    def __init__(self, W0: Tensor, tuned: Tensor | LowRank) -> None:
        self._found: SVD | None = None
        self.base_norm, base_unit = norm_and_unit(W0)
        if isinstance(tuned, LowRank):
            tuned, tuned_unit = factors_near_one(tuned)
            self.unit = min(base_unit, tuned_unit)
            self._tuned: Tensor | LowRank = LowRank(tuned.B, tuned.A, tuned.scale * self.unit)
        else:
            self._norm, tuned_unit = norm_and_unit(tuned)
            # The larger of the two is brought near one.
            self.unit = min(base_unit, tuned_unit) if self.base_norm and self._norm else max(base_unit, tuned_unit)
            self._tuned = scaled(tuned, self.unit)
        self.W0 = scaled(W0, self.unit)

    @property
    def W(self) -> Tuned:  # noqa: N802 - the field's own name
        """The tuned weights times `unit`, as an operator."""
        return Updated(self.W0, self._tuned) if isinstance(self._tuned, LowRank) else self._tuned

    def is_zero(self) -> bool:
        """Whether ``W`` is ``W0``."""
        if isinstance(self._tuned, LowRank):
            return not float(self.directions().s[0])
        # Looking at one row first spares most tuned matrices a pass.
        return torch.equal(self.W0[:1], self._tuned[:1]) and torch.equal(self.W0, self._tuned)

    @cached_property
    def norm(self) -> float:
        """``‖W‖_F``."""
        W = self.W
        return W.norm() / self.unit if isinstance(W, Updated) else self._norm

    def directions(self) -> SVD:
        """Leading singular triplets of ``ΔW`` times `unit`: all, for factors, else those a narrow sketch sees."""
        if self._found is None:
            factors = self._tuned
            self._found = factors.svd() if isinstance(factors, LowRank) else sketch(self._difference(), _WIDTHS[0])
        return self._found

    def spectral_norm(self) -> float:
        """``‖ΔW‖_2``, to a part in ten thousand (the value's error is the square of the vector's)."""
        near = self.directions()
        if isinstance(self._tuned, LowRank):
            return float(near.s[0]) / self.unit
        found = None
        if num_leading(*self.W0.shape) >= 1:
            start = near.Vh.mT if self.W0.shape[0] >= self.W0.shape[1] else near.U
            found = leading(self._difference(), 1, angle=0.01, start=start[:, :2])
        return float(found.s[0] if found else torch.linalg.matrix_norm(self._tensor() - self.W0, 2)) / self.unit

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
            ``delta_norm`` (Frobenius), ``delta_spectral_norm`` and ``delta_nuclear_norm`` (the sum of the singular
            values), in the units of the weights; ``relative_delta = ‖ΔW‖_F / ‖W0‖_F`` and ``relative_nuclear_norm =
            ‖ΔW‖_* / ‖W0‖_F`` (NaN for a zero base), with ``relative_nuclear_norm_error`` as of the effective rank.
        """
        if isinstance(self._tuned, LowRank):
            s = self.directions().s
            return self._row(s, float(torch.linalg.vector_norm(s.double())), effective_rank(s))
        return self._low_rank() or (self._estimated() if ranks == "estimated" else self._exact())

    def _exact(self) -> dict[str, float]:
        try:
            s = singular_values(self._tensor() - self.W0, overwrite=True)
        except LinAlgError:
            s = singular_values(self._tensor() - self.W0)
        return self._row(s, float(torch.linalg.vector_norm(s.double())), effective_rank(s))

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
                if error > _CERTAIN * rank:
                    return None
                others = math.sqrt(min(delta.shape)) * rest  # at least the remainder's nuclear norm
                return self._row(found.s, norm, rank, error, Estimate(float(found.s.double().sum()), others))
        return None

    def _estimated(self) -> dict[str, float]:
        delta = self._tensor() - self.W0
        if num_leading(*delta.shape) < 1 or (top := leading(delta, 1, angle=0.01)) is None:
            return self._exact()
        rank, nuclear_norm = estimated_sums(delta, top)
        norm = float(torch.linalg.vector_norm(delta))
        return self._row(top.s[:1], norm, rank.value, rank.error, nuclear_norm)

    def _row(
        self, s: Tensor, norm: float, rank: float, error: float = 0.0, nuclear_norm: Estimate | None = None
    ) -> dict[str, float]:
        """The measures from the singular values known, all of them unless `nuclear_norm` is given."""
        largest = float(s[0])
        nuclear_norm = nuclear_norm or Estimate(float(s.double().sum()), 0.0)
        base_norm = self.base_norm * self.unit

        def relative(size: float) -> float:
            return size / base_norm if base_norm else math.nan

        return {
            "effective_rank": rank,
            "effective_rank_error": error,
            "stable_rank": stable_rank(s)
            if len(s) == min(self.W0.shape)
            else (norm / largest) ** 2
            if largest
            else 0.0,
            "base_norm": self.base_norm,
            "delta_norm": norm / self.unit,
            "delta_spectral_norm": largest / self.unit,
            "delta_nuclear_norm": nuclear_norm.value / self.unit,
            "relative_delta": relative(norm),
            "relative_nuclear_norm": relative(nuclear_norm.value),
            "relative_nuclear_norm_error": relative(nuclear_norm.error),
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
