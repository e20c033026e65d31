"""A low-rank update kept as its factors: its spectrum costs two thin QRs, never an m×n matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .svd import SVD, svd


@dataclass(frozen=True)
class LowRank:
    """``ΔW = scale · B A``.

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
