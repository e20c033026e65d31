"""Intruder dimensions of one matrix: leading singular vectors of the tuned weights that match none of the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .linalg import absolute_cosines, svd

SIDES: dict[str, tuple[str, ...]] = {"left": ("left",), "right": ("right",), "both": ("left", "right")}


@dataclass(frozen=True)
class Examined:
    """The ``k`` leading singular vectors of ``W`` on one side, against all those of ``W0``.

    Attributes
    ----------
    side : {"left", "right"}
    singular_values, base_singular_values : Tensor, shape (k,)
        The leading ones of ``W`` and of ``W0``.
    max_cosine : Tensor, shape (k,)
        ``max_i |cos(u_j, x_i)|`` over **all** singular vectors ``x_i`` of ``W0`` on that side.
    nearest : Tensor of int64, shape (k,)
        The ``i`` of that maximum.
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
    max_cosine: Tensor
    nearest: Tensor
    cosines: Tensor
    dimension: int
    num_base_vectors: int
    method: str

    def intruders(self, epsilon: float = 0.5) -> list[int]:
        """Indices ``j`` of the intruder dimensions: ``max_i |cos(u_j, x_i)| < epsilon``."""
        return torch.nonzero(self.max_cosine < epsilon).flatten().tolist()


class BaseSide(Protocol):
    """What a method keeps of ``W0``, so that each further tuned matrix costs only its own work."""

    def __init__(self, W0: Tensor) -> None: ...

    def examine(self, W: Tensor, k: int, side: str) -> list[Examined]: ...


class Exact:
    """The paper's own procedure: a full SVD of both (arXiv 2410.21228, Definition 3.1 and Algorithm 1)."""

    def __init__(self, W0: Tensor) -> None:
        self.base = svd(W0)

    def examine(self, W: Tensor, k: int, side: str) -> list[Examined]:
        tuned = svd(W)
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
                    max_cosine=best.values.cpu(),
                    nearest=best.indices.cpu(),
                    cosines=similarity[:k].cpu(),
                    dimension=basis.shape[0],
                    num_base_vectors=basis.shape[1],
                    method=method,
                )
            )
        return found


# A method is one class and one row. "auto" is resolved per matrix by `method_for`.
METHODS: dict[str, type[BaseSide]] = {"exact": Exact}


def method_for(name: str, W0: Tensor) -> BaseSide:
    """The base side of `W0` under the method `name`; ``"auto"`` picks what is fastest for its shape."""
    return METHODS["exact" if name == "auto" else name](W0)


def examine(W0: Tensor, W: Tensor, *, k: int = 10, side: str = "left", method: str = "auto") -> list[Examined]:
    """Examine the leading singular vectors of one tuned matrix.

    Parameters
    ----------
    W0, W : Tensor, shape (out, in)
        Base and tuned weights.
    k : int
        How many leading singular vectors of `W` to examine; at most ``min(out, in)`` are there.
    side : {"left", "right", "both"}
    method : {"auto", "exact"}

    Returns
    -------
    list of Examined
        One for each side.

    Raises
    ------
    ValueError
        If the shapes differ, a matrix holds NaN or Inf, or an argument is none of the above.

    Examples
    --------
    >>> W0 = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0]))[:, :3]
    >>> spike = torch.outer(torch.tensor([0.0, 0, 0, 1]), torch.tensor([1.0, 0, 0]))
    >>> examine(W0, W0 + 9 * spike, k=1)[0].intruders(epsilon=0.5)
    [0]
    """
    if W0.shape != W.shape:
        raise ValueError(f"shapes differ: {tuple(W0.shape)} and {tuple(W.shape)}")
    check_options(k=k, epsilon=0.5, side=side, method=method)
    return method_for(method, W0).examine(W, k, side)


def check_options(*, k: int, epsilon: float, side: str, method: str) -> None:
    """Raise ValueError, in one sentence, for values that no verdict can be reached with."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon is a cosine and must lie in (0, 1], got {epsilon}")
    if side not in SIDES:
        raise ValueError(f"side must be one of {', '.join(SIDES)}, got {side!r}")
    if method not in ("auto", *METHODS):
        raise ValueError(f"method must be one of auto, {', '.join(METHODS)}, got {method!r}")
