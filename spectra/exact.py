"""The exact method: the paper's own procedure, a full decomposition of both matrices."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .cache import cached_svd
from .examined import SIDES, Examined, nearest_note, novelty, too_few_note
from .linalg import (
    SVD,
    Tuned,
    Updated,
    absolute_cosines,
    best_cosines,
    eigenspaces,
    num_above_rounding,
    svd,
)

_TIED = "leading singular values agree to rounding: any vectors of what they span could stand for these"


class Exact:
    """Full SVDs of ``W0`` and of ``W`` (arXiv 2410.21228, Definition 3.1 and Algorithm 1)."""

    def __init__(self, W0: Tensor, base: SVD | None = None) -> None:
        self.shape = W0.shape
        self.base = base or cached_svd(W0)
        self.spaces = eigenspaces(self.base.s, self.shape, self.base.U.dtype)

    def examine(
        self, W: Tuned, k: int, side: str, epsilons: Sequence[float], near: SVD | None = None
    ) -> list[Examined]:
        tuned = svd(W.dense() if isinstance(W, Updated) else W)
        fallbacks = sorted({self.base.driver, tuned.driver} - {"gesdd", "default"})
        method = "exact" + (f" ({', '.join(fallbacks)})" if fallbacks else "")
        bases = {"left": (self.base.U, tuned.U), "right": (self.base.Vh.mT, tuned.Vh.mT)}
        wanted = min(k, *self.shape)
        rank = num_above_rounding(tuned.s, self.shape, tuned.U.dtype)
        tied = eigenspaces(tuned.s, self.shape, tuned.U.dtype)[: wanted + 1].bincount()
        examined = []
        for one_side in SIDES[side]:
            basis, vectors = bases[one_side]
            vectors = vectors[:, : min(wanted, rank) if len(self.spaces) else 0]
            best, nearest, sizes = best_cosines(basis, vectors, self.spaces)
            notes = [
                too_few_note(rank, wanted),
                nearest_note(len(self.spaces), nearest < 0),
                _TIED if bool((tied > 1).any()) else "",
            ]
            examined.append(
                Examined(
                    side=one_side,
                    singular_values=tuned.s[: vectors.shape[1]].cpu(),
                    base_singular_values=self.base.s[:wanted].cpu(),
                    lower=best / sizes.sqrt(),
                    upper=best,
                    max_cosine=best,
                    nearest=nearest,
                    cosines=absolute_cosines(basis[:, :wanted], vectors).cpu(),
                    novelty=novelty(basis[:, : min(2 * wanted, len(self.spaces))], vectors),
                    dimension=basis.shape[0],
                    num_base_vectors=len(self.spaces),
                    method=method,
                    note="; ".join(filter(None, notes)),
                )
            )
        return examined
