"""What the iterations ask of a matrix: its shape, and products with a few columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# On the CPU a product with 2 to 15 columns can take several times as long as one with 16.
_WIDTH = 16


class Operator(Protocol):
    """An ``(m, n)`` matrix that need not be formed. A Tensor is one; so are `LowRank` and `Updated`."""

    @property
    def shape(self) -> torch.Size | tuple[int, int]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def mT(self) -> Operator: ...  # noqa: N802 - the name that tensors have it under

    def __matmul__(self, other: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Difference:
    """``A − B``, never formed."""

    A: Operator
    B: Operator

    @property
    def shape(self) -> torch.Size | tuple[int, int]:
        return self.A.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.A.dtype

    @property
    def device(self) -> torch.device:
        return self.A.device

    @property
    def mT(self) -> Difference:  # noqa: N802 - as a tensor's
        return Difference(self.A.mT, self.B.mT)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.A @ other - self.B @ other


def times(A: Operator, X: Tensor) -> Tensor:
    """``A @ X`` for a narrow ``X`` of shape (n, k), at a width that the machine multiplies fast."""
    k = X.shape[1]
    missing = -k % _WIDTH
    if k == 1 or not missing or X.device.type != "cpu":
        return A @ X
    return (A @ torch.nn.functional.pad(X, (0, missing)))[:, :k]
