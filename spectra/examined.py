"""What is known of the leading singular vectors of one tuned matrix, by whichever method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .linalg import SVD, Tuned

SIDES: dict[str, tuple[str, ...]] = {"left": ("left",), "right": ("right",), "both": ("left", "right")}


@dataclass(frozen=True)
class Examined:
    """The ``k`` leading singular vectors of ``W`` on one side, against all those of ``W0``.

    Attributes
    ----------
    side : {"left", "right"}
    singular_values, base_singular_values : Tensor, shape (k,)
        The leading ones of ``W`` and of ``W0``.
    lower, upper : Tensor, shape (k,)
        Bounds on ``max_i |cos(u_j, x_i)|`` over **all** singular vectors ``x_i`` of ``W0`` on that side; equal where
        both matrices were decomposed.
    max_cosine : Tensor, shape (k,)
        The best cosine found. Where `upper` is above it, another ``x_i`` may be nearer, but not nearer than `upper`.
    nearest : Tensor of int64, shape (k,)
        The ``i`` of `max_cosine`; -1 where another may be nearer.
    cosines : Tensor, shape (k, k)
        ``|cos(x_i, u_j)|`` with the ``k`` leading ``x_i``: row ``i`` base, column ``j`` tuned.
    dimension, num_base_vectors : int
        Length of the vectors, and how many ``x_i`` there are.
    method : str
        How the verdict was reached.
    """

    side: str
    singular_values: Tensor
    base_singular_values: Tensor
    lower: Tensor
    upper: Tensor
    max_cosine: Tensor
    nearest: Tensor
    cosines: Tensor
    dimension: int
    num_base_vectors: int
    method: str

    def undecided(self, epsilon: float) -> list[int]:
        """Indices ``j`` whose bounds have `epsilon` between them."""
        return torch.nonzero((self.lower < epsilon) & (self.upper >= epsilon)).flatten().tolist()

    def intruders(self, epsilon: float = 0.5) -> list[int]:
        """Indices ``j`` of the intruder dimensions: ``max_i |cos(u_j, x_i)| < epsilon``."""
        return torch.nonzero(self.upper < epsilon).flatten().tolist()


class BaseSide(Protocol):
    """What a method keeps of ``W0``, or of its decomposition, so that each further tuned matrix costs only its own."""

    def __init__(self, W0: Tensor, base: SVD | None = None) -> None: ...

    def examine(
        self, W: Tuned, k: int, side: str, epsilons: Sequence[float], near: SVD | None = None
    ) -> list[Examined]:
        """Examine `W`; every vector is decided at each of `epsilons`.

        `near` holds leading singular triplets of ``ΔW``, where they are cheap: a place to start from.
        """
        ...
