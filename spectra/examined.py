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
        The leading ones of ``W`` and of ``W0``. Vectors of ``W`` whose value is below rounding are not examined:
        there are fewer than were asked for where ``W`` is of lower rank.
    lower, upper : Tensor, shape (k,)
        Bounds on ``max_i |cos(u_j, x_i)|`` over **all** singular vectors ``x_i`` of ``W0`` on that side; equal where
        both matrices were decomposed. Where base values agree to rounding, ``x_i`` is not defined, only what they span:
        there the bounds hold whatever basis is taken of it. Vectors of ``W0`` below rounding are none.
    max_cosine : Tensor, shape (k,)
        The best cosine found; where base values agree to rounding, the cosine with the subspace, which is what counts.
        Where `upper` is above it, another ``x_i`` may be nearer, but not nearer than `upper`.
    nearest : Tensor of int64, shape (k,)
        The ``i`` of `max_cosine`; -1 where another may be nearer, or where it is a subspace.
    cosines : Tensor, shape (c, k), c <= k
        ``|cos(x_i, u_j)|`` with the leading ``x_i``: row ``i`` base, column ``j`` tuned.
    novelty : Tensor, shape (k,), float64
        ``1 − ‖P u_j‖²``, ``P`` the projector on the base's ``2k`` leading vectors: how much of ``u_j`` is not made of
        these. 0 for a rotation among them; a random direction has ``1 − 2k/dimension`` on average. Within 0.02 where
        the base was not decomposed.
    dimension, num_base_vectors : int
        Length of the vectors, and how many ``x_i`` there are: none, where ``W0`` is zero.
    method : str
        How the verdict was reached.
    note : str
        What of this is not defined, and why; empty where all is.
    """

    side: str
    singular_values: Tensor
    base_singular_values: Tensor
    lower: Tensor
    upper: Tensor
    max_cosine: Tensor
    nearest: Tensor
    cosines: Tensor
    novelty: Tensor
    dimension: int
    num_base_vectors: int
    method: str
    note: str = ""

    def undecided(self, epsilon: float) -> list[int]:
        """Indices ``j`` whose bounds have `epsilon` between them, and whose cosine is not known."""
        unknown = self.max_cosine < self.upper
        return torch.nonzero((self.lower < epsilon) & (self.upper >= epsilon) & unknown).flatten().tolist()

    def intruders(self, epsilon: float = 0.5) -> list[int]:
        """Indices ``j`` of the intruder dimensions: ``max_i |cos(u_j, x_i)| < epsilon``; none against a zero base."""
        if not self.num_base_vectors:
            return []
        return torch.nonzero(self.upper < epsilon).flatten().tolist()


def novelty(basis: Tensor, vectors: Tensor) -> Tensor:
    """``1 − ‖Pu‖²`` for each column of `vectors`, ``P`` the projector on the columns of `basis`."""
    return (1 - (basis.mT @ vectors).double().square().sum(dim=0)).clamp(0.0, 1.0).cpu()


def too_few_note(rank: int, wanted: int) -> str:
    """In words, that vectors below rounding were not examined; empty where all were."""
    if rank >= wanted:
        return ""
    return f"only {rank} of {wanted} vectors examined: the others' singular values are below rounding"


def nearest_note(num_base_vectors: int, shared: Tensor) -> str:
    """In words, which vectors have a subspace for the nearest; empty for none.

    Parameters
    ----------
    num_base_vectors : int
    shared : Tensor of bool, shape (k,)
        Vectors next to which base values agree to rounding.
    """
    if not num_base_vectors:
        return "the base is zero here: it has no directions to match"
    numbers = ", ".join(str(j + 1) for j in shared.nonzero().flatten().tolist())
    return numbers and f"base singular values agree to rounding next to vector {numbers}: cosine with what they span"


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
