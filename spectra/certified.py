"""The certified method: the exact verdict from bounds on the cosines, without a full decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .cache import cached_svd, find_svd
from .exact import Exact
from .examined import SIDES, Examined, nearest_note, novelty
from .linalg import (
    BLOCK,
    SVD,
    Leading,
    Tuned,
    absolute_cosines,
    atom_bounds,
    best_cosines,
    eigenspaces,
    leading,
    least_singular_value,
    match,
    num_above_rounding,
    num_leading,
    rounding,
)

# How near leading vectors of the base and of the tuned matrix are brought to those they stand for (sine of the angle),
# at first and, where the bounds of some vector then do not decide, once more. What the tuned ones miss widens every
# bound; what those of the base miss, only the lower one.
_ANGLES = ((0.02, 0.01), (1e-3, 1e-3))
# Every bound is also widened by this many eps, for rounding in what it is made of and in the singular vectors of a
# dense bulk that LAPACK returns (seen: 3e-5 at 768 rows in float32).
_SLACK = 1000.0


class Certified:
    """Leading singular vectors by block Golub–Kahan iteration, and proofs that no base vector is near, or that one is.

    A vector ``u`` is not an intruder where its cosine with a leading base vector is at least epsilon, and is one where
    the greatest cosine that any base vector can have with it, by `linalg.atom_bounds`, is less. Where the bounds do not
    decide, the leading vectors are refined: what is undecided lies almost always among leading base vectors that are
    not yet told apart. Where they still do not, the base is decomposed in full (once, and kept), and where that does
    not either, the tuned matrix is too.
    """

    def __init__(self, W0: Tensor, base: SVD | None = None) -> None:
        self.W0 = W0
        self._full = base or find_svd(W0)
        self._known: Leading | None = None
        self._angle = 1.0
        self._least: dict[str, float] = {}

    def examine(
        self, W: Tuned, k: int, side: str, epsilons: Sequence[float], near: SVD | None = None
    ) -> list[Examined]:
        k = min(k, *self.W0.shape)
        for base_angle, tuned_angle in _ANGLES:
            known = self._leading(2 * k, base_angle)  # what novelty is measured against
            tuned = self._tuned(W, k, known, near, tuned_angle) if known else None
            if known is None or tuned is None:
                break
            examined = [
                self._from_full_base(one, known, tuned, k)
                if self._full
                else self._from_bounds(one, known, tuned, k, epsilons)
                for one in SIDES[side]
            ]
            if _decided(examined, epsilons):
                return examined
        if known is not None and tuned is not None and self._full is None:
            self._full = cached_svd(self.W0)
            examined = [self._from_full_base(one, known, tuned, k) for one in SIDES[side]]
            if _decided(examined, epsilons):
                return examined
        self._full = self._full or cached_svd(self.W0)
        return Exact(self.W0, self._full).examine(W, k, side, epsilons)

    def _leading(self, k: int, angle: float) -> Leading | None:
        """Leading triplets of the base; None for a small matrix, or where `k` reaches into the null space."""
        if k + 2 > num_leading(*self.W0.shape):
            return None
        if self._full is not None:
            if num_above_rounding(self._full.s, self.W0.shape, self.W0.dtype) < k:
                return None
            s = self._full.s[: k + BLOCK + 1].double().cpu()
            noise = torch.full_like(s[:-1], rounding(self.W0.dtype) * float(s[0]))
            U, Vh = self._full.U[:, : k + BLOCK], self._full.Vh[: k + BLOCK]
            return Leading(U, s[:-1], Vh, noise, float(s[-1]), steps=0)
        if self._known is None or len(self._known.s) < k or self._angle > angle:
            right = self.W0.shape[0] >= self.W0.shape[1]  # the iteration runs on the shorter side
            start = None if self._known is None else (self._known.Vh.mT if right else self._known.U)[:, : k + 2]
            self._known, self._angle = leading(self.W0, k, angle=angle, start=start), angle
        return self._known

    def _tuned(self, W: Tuned, k: int, known: Leading, near: SVD | None, angle: float) -> Leading | None:
        """Leading triplets of the tuned matrix, looked for among those of the base and of the update."""
        right = W.shape[0] >= W.shape[1]
        values, vectors = known.s.cpu(), known.Vh.mT if right else known.U
        if near is not None:
            values = torch.cat([values, near.s.double().cpu()])
            vectors = torch.cat([vectors, near.Vh.mT if right else near.U], dim=1)
        largest = values.topk(min(k + 2, len(values))).indices.to(vectors.device)
        return leading(W, k, angle=angle, start=vectors[:, largest])

    def _from_bounds(self, side: str, known: Leading, tuned: Leading, k: int, epsilons: Sequence[float]) -> Examined:
        """Bounds from the known base vectors, then from Lanczos on what they leave, until every vector is decided."""
        A, known, tuned = (self.W0, known, tuned) if side == "left" else (self.W0.mT, known.mT, tuned.mT)
        U = tuned.U[:, :k]
        slack = _slack(tuned)[:k]
        found = match(known, U)
        lower, least_upper = found.lower - slack, found.upper + slack
        rest = U
        for _ in range(2):
            rest = rest - found.basis @ (found.basis.mT @ rest)
        norms = torch.linalg.vector_norm(rest, dim=0).clamp(min=torch.finfo(rest.dtype).tiny)
        rest_upper = norms.double().cpu() + found.coupling + slack

        def undecided() -> Tensor:
            return _straddling(lower, torch.maximum(least_upper, rest_upper), epsilons)

        hopeless = _straddling(lower, least_upper, epsilons)  # however little the other base vectors can hold
        todo = undecided()
        if len(todo) and not len(hopeless):
            goal = _lowest_above(lower[todo], epsilons)
            bounds = atom_bounds(
                A,
                rest[:, todo] / norms[todo],
                enough=(goal - slack[todo] - found.coupling[todo]).clamp(min=0) / norms[todo].double().cpu(),
                largest=float(known.s[0]),
                least=self._least_value(side),
                steps=min(128, max(24, min(A.shape) // 32)),
                without=found.basis,
            )
            for atoms in bounds:
                rest_upper[todo] = norms[todo].double().cpu() * atoms.cpu() + found.coupling[todo] + slack[todo]
                if not len(undecided()):
                    break
        return Examined(
            side=side,
            singular_values=tuned.s[:k],
            base_singular_values=known.s[:k],
            lower=lower.clamp(min=0.0),
            upper=torch.maximum(least_upper, rest_upper).clamp(max=1.0),
            max_cosine=found.best.clamp(max=1.0),
            nearest=torch.where(rest_upper <= found.best, found.nearest, -1),
            cosines=absolute_cosines(known.U[:, :k], U).cpu(),
            novelty=novelty(known.U[:, : 2 * k], U),
            dimension=A.shape[0],
            num_base_vectors=min(A.shape),
            method="certified",
            note=nearest_note(min(A.shape), found.shared & (rest_upper <= lower)),
        )

    def _from_full_base(self, side: str, known: Leading, tuned: Leading, k: int) -> Examined:
        """Cosines with every base vector; what is left to decide is how near the tuned vectors are to the true ones."""
        assert self._full is not None  # the callers have seen to it
        basis, U = (self._full.U, tuned.U) if side == "left" else (self._full.Vh.mT, tuned.Vh.mT)
        spaces = eigenspaces(self._full.s, self.W0.shape, self.W0.dtype)
        best, nearest, sizes = best_cosines(basis, U[:, :k], spaces)
        slack = _slack(tuned)[:k]
        return Examined(
            side=side,
            singular_values=tuned.s[:k],
            base_singular_values=self._full.s[:k].cpu(),
            lower=(best - slack).clamp(min=0.0) / sizes.sqrt(),
            upper=(best + slack).clamp(max=1.0),
            max_cosine=best,
            nearest=nearest,
            cosines=absolute_cosines(basis[:, :k], U[:, :k]).cpu(),
            novelty=novelty(basis[:, : min(2 * k, len(spaces))], U[:, :k]),
            dimension=basis.shape[0],
            num_base_vectors=len(spaces),
            method="certified with the base's SVD",
            note=nearest_note(len(spaces), nearest < 0),
        )

    def _least_value(self, side: str) -> float:
        """A lower bound on the base's singular values; only where vectors of that side are longer than there are."""
        A = self.W0 if side == "left" else self.W0.mT
        if A.shape[0] <= A.shape[1]:
            return 0.0
        if side not in self._least:
            self._least[side] = least_singular_value(A)
        return self._least[side]


def _slack(tuned: Leading) -> Tensor:
    return tuned.angles() + _SLACK * torch.finfo(tuned.U.dtype).eps


def _decided(examined: Sequence[Examined], epsilons: Sequence[float]) -> bool:
    return not any(side.undecided(epsilon) for side in examined for epsilon in epsilons)


def _lowest_above(lower: Tensor, epsilons: Sequence[float]) -> Tensor:
    """For each vector the least of `epsilons` that is above its lower bound."""
    limits = lower.new_tensor(sorted(epsilons))
    return limits[torch.searchsorted(limits, lower, right=True).clamp(max=len(limits) - 1)]


def _straddling(lower: Tensor, upper: Tensor, epsilons: Sequence[float]) -> Tensor:
    """Indices of the vectors that have one of `epsilons` between their bounds."""
    limits = lower.new_tensor(list(epsilons))[:, None]
    return ((lower < limits) & (upper >= limits)).any(dim=0).nonzero().flatten()
