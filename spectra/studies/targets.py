"""What an intervention scales in each matrix: its intruders, and what stands beside them as a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..comparing import compare
from ..errors import SpectraError
from ..linalg import LowRank, leading, num_leading, svd
from ..weights import open_checkpoint, pair

TARGETS = ("intruder", "neighbour", "random", "shrunk")
WHICH = ("top", "all")
_ANGLE = 1e-4  # of the vectors that are scaled; what is left of one scaled away is as small


@dataclass(frozen=True)
class Target:
    """The intruders to scale in one matrix, and their controls.

    Attributes
    ----------
    name : str
    W0, W : Tensor, shape (m, n)
    intruder, neighbour, random : LowRank, shape (m, n)
        ``Σ s_i u_i v_iᵀ`` over the intruders; over as many non-intruders, the nearest in rank among twice as many
        leading vectors as are examined, as far as there are any; over random unit vectors with the same ``s_i``.
    """

    name: str
    W0: Tensor
    W: Tensor
    intruder: LowRank
    neighbour: LowRank | None
    random: LowRank

    def scaled(self, what: str, factor: float) -> Tensor:
        """``W(λ) = W0 + ΔW + (λ−1) Σ s_i u_i v_iᵀ`` for `what` of TARGETS, ``λ = factor``, shape (m, n).

        ``"shrunk"`` is ``W0 + c ΔW`` with ``c`` such that ``‖c ΔW‖_F`` is that of ``ΔW(λ)`` for the intruders; ``c`` is
        above 1 where they held part of ``W0``, which goes with them. A matrix without a neighbour stays as it is.
        """
        if factor == 1.0:
            return self.W
        if what == "shrunk":
            delta = self.W - self.W0
            wanted: Tensor = torch.linalg.vector_norm(delta + (factor - 1) * self.intruder.dense())
            shrunk: Tensor = self.W0 + delta * (wanted / torch.linalg.vector_norm(delta))
            return shrunk
        part: LowRank | None = getattr(self, what)
        return self.W if part is None else self.W + (factor - 1) * part.dense()

    def num_vectors(self, what: str) -> int:
        """How many singular vectors (or random directions) are scaled; none where the whole update is."""
        part: LowRank | None = None if what == "shrunk" else getattr(self, what)
        return 0 if part is None else part.B.shape[1]


def targets(
    base: Any, tuned: Any, *, which: str = "top", k: int = 10, epsilon: float = 0.5, device: str = "cpu", seed: int = 0
) -> list[Target]:
    """What an intervention scales, one entry a matrix that has intruders.

    Parameters
    ----------
    base, tuned
        Every form that `spectra.compare` takes.
    which : {"top", "all"}
        The highest-ranked intruder of each matrix (arXiv 2410.21228), or all among its `k` leading vectors.
    k, epsilon, device
        Of `spectra.compare`.
    seed : int
        Of the random control.

    Raises
    ------
    SpectraError
        If there are no intruders.
    """
    if which not in WHICH:
        raise ValueError(f"which must be one of {', '.join(WHICH)}, got {which!r}")
    opened_base, opened = open_checkpoint(base), open_checkpoint(tuned)
    # Of twice as many vectors it is known whether they are intruders: a neighbour may stand beyond the k-th.
    result = compare(opened_base, opened, k=2 * k, epsilon=epsilon, device=device)
    intruders = {row.name: row.intruders for row in result.matrices.itertuples(index=False)}
    if not any(min(indices, default=k) < k for indices in intruders.values()):
        raise SpectraError(
            f"{opened.label}: no intruder dimensions at epsilon {epsilon:g} among the {k} leading vectors of each "
            "matrix, so there is nothing to scale; raise --epsilon"
        )
    generator = torch.Generator().manual_seed(seed)
    found = []
    for one in pair(opened_base, opened, include=("",)).pairs:
        if chosen := [j for j in intruders.get(one.name, []) if j < k]:
            W0 = one.read_base(dtype=torch.float32, device=device)
            W = one.read_whole(W0)
            chosen = chosen[:1] if which == "top" else chosen
            found.append(_target(one.name, W0, W, chosen, set(intruders[one.name]), 2 * k, generator))
    return found


def _target(
    name: str, W0: Tensor, W: Tensor, chosen: list[int], intruders: set[int], k: int, generator: torch.Generator
) -> Target:
    U, s, Vh = _triplets(W, k)

    def part(indices: list[int]) -> LowRank:
        return LowRank(U[:, indices] * s[indices], Vh[indices])

    free = [j for j in range(len(s)) if j not in intruders]
    beside: list[int] = []
    for i in chosen:
        nearest = sorted((abs(j - i), -j) for j in free)[:1]
        beside += [-j for _, j in nearest]
        free = [j for j in free if j not in beside]
    directions = [
        torch.nn.functional.normalize(torch.randn(size, len(chosen), generator=generator), dim=0).to(W)
        for size in W.shape
    ]
    random = LowRank(directions[0] * s[chosen], directions[1].mT)
    return Target(name, W0, W, part(chosen), part(beside) if beside else None, random)


def _triplets(W: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    k = min(k, *W.shape)
    found = leading(W, k, angle=_ANGLE) if k <= num_leading(*W.shape) else None
    whole = found or svd(W)
    return whole.U[:, :k], whole.s[:k].to(W), whole.Vh[:k]
