"""A low-rank update kept as its factors: its spectrum costs two thin QRs, never an m×n matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .svd import SVD, svd


@dataclass(frozen=True)
class LowRank:
    """``ΔW = scale · B A``; an operator like any other.

    Attributes
    ----------
    B : Tensor, shape (m, r)
    A : Tensor, shape (r, n)
    scale : float
        ``alpha / r``, or ``alpha / sqrt(r)`` for rank-stabilised LoRA.
    """

    B: Tensor
    A: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.B.ndim != 2 or self.A.ndim != 2 or self.B.shape[1] != self.A.shape[0]:
            raise ValueError(f"factors do not fit: B is {tuple(self.B.shape)}, A is {tuple(self.A.shape)}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.B.shape[0], self.A.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.B.dtype

    @property
    def device(self) -> torch.device:
        return self.B.device

    @property
    def mT(self) -> LowRank:  # noqa: N802 - as a tensor's
        return LowRank(self.A.mT, self.B.mT, self.scale)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.scale * (self.B @ (self.A @ other))

    def dense(self) -> Tensor:
        """``ΔW``, shape (m, n)."""
        return self.scale * (self.B @ self.A)

    def svd(self) -> SVD:
        """Thin SVD of ``ΔW`` with ``p = min(m, n, r)`` values, in O((m + n) r²).

        ``B = Q_B R_B``, ``Aᵀ = Q_A R_A``, so that ``ΔW = Q_B (scale · R_B R_Aᵀ) Q_Aᵀ`` and the SVD of the small
        middle matrix carries over (Golub & Van Loan, "Matrix Computations", 4th ed., section 5.4.3, applied twice).
        """
        dtype = torch.promote_types(torch.promote_types(self.B.dtype, self.A.dtype), torch.float32)
        Q_B, R_B = torch.linalg.qr(self.B.to(dtype))  # (m, min(m, r)), (min(m, r), r)
        Q_A, R_A = torch.linalg.qr(self.A.to(dtype).mT)  # (n, min(n, r)), (min(n, r), r)
        core = svd(self.scale * (R_B @ R_A.mT))
        return SVD(Q_B @ core.U, core.s, core.Vh @ Q_A.mT, f"{core.driver} of factors")


@dataclass(frozen=True)
class Updated:
    """``W = W0 + ΔW`` that is never formed: products with ``W0`` plus products with the factors.

    Attributes
    ----------
    W0 : Tensor, shape (m, n)
    update : LowRank, shape (m, n)
    """

    W0: Tensor
    update: LowRank

    @property
    def shape(self) -> torch.Size:
        return self.W0.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.W0.dtype

    @property
    def device(self) -> torch.device:
        return self.W0.device

    @property
    def mT(self) -> Updated:  # noqa: N802 - as a tensor's
        return Updated(self.W0.mT, self.update.mT)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.W0 @ other + self.update @ other

    def norm(self) -> float:
        """``‖W‖_F``, from ``‖W0 + ΔW‖² = ‖W0‖² + 2 <W0, ΔW> + ‖ΔW‖²``."""
        B, A, scale = self.update.B, self.update.A, self.update.scale
        inner = scale * float(((self.W0.mT @ B) * A.mT).sum())
        grown = scale**2 * float(((B.mT @ B) * (A @ A.mT)).sum())
        return math.sqrt(max(0.0, float(torch.linalg.vector_norm(self.W0)) ** 2 + 2 * inner + grown))

    def dense(self) -> Tensor:
        """``W``, shape (m, n)."""
        return self.W0 + self.update.dense()


def is_finite(tuned: Tensor | LowRank) -> bool:
    """Whether every entry, of a matrix or of the factors of an update, is a number."""
    if isinstance(tuned, LowRank):
        return math.isfinite(tuned.scale) and is_finite(tuned.B) and is_finite(tuned.A)
    # A norm that is finite has seen every entry, at a fraction of the cost of looking at each.
    return math.isfinite(float(torch.linalg.vector_norm(tuned))) or bool(torch.isfinite(tuned).all())


# A tuned matrix: as it is, or the base and factors.
Tuned = Tensor | Updated
