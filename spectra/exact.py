"""The exact method: the paper's own procedure, a full decomposition of both matrices."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .cache import cached_svd
from .examined import SIDES, Examined
from .linalg import SVD, Tuned, Updated, absolute_cosines, svd


class Exact:
    """Full SVDs of ``W0`` and of ``W`` (arXiv 2410.21228, Definition 3.1 and Algorithm 1)."""

    def __init__(self, W0: Tensor, base: SVD | None = None) -> None:
        self.base = base or cached_svd(W0)

    def examine(
        self, W: Tuned, k: int, side: str, epsilons: Sequence[float], near: SVD | None = None
    ) -> list[Examined]:
        tuned = svd(W.dense() if isinstance(W, Updated) else W)
        fallbacks = sorted({self.base.driver, tuned.driver} - {"gesdd", "default"})
        method = "exact" + (f" ({', '.join(fallbacks)})" if fallbacks else "")
        bases = {"left": (self.base.U, tuned.U), "right": (self.base.Vh.mT, tuned.Vh.mT)}
        found = []
        for one_side in SIDES[side]:
            basis, vectors = bases[one_side]
            similarity = absolute_cosines(basis, vectors[:, :k])  # (p, k)
            best = similarity.max(dim=0)
            found.append(
                Examined(
                    side=one_side,
                    singular_values=tuned.s[:k].cpu(),
                    base_singular_values=self.base.s[:k].cpu(),
                    lower=best.values.cpu(),
                    upper=best.values.cpu(),
                    max_cosine=best.values.cpu(),
                    nearest=best.indices.cpu(),
                    cosines=similarity[:k].cpu(),
                    dimension=basis.shape[0],
                    num_base_vectors=basis.shape[1],
                    method=method,
                )
            )
        return found
