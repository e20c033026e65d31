"""Intruder dimensions of one matrix: leading singular vectors of the tuned weights that match none of the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .cache import cached_svd
from .certified import Certified
from .exact import Exact
from .examined import SIDES, BaseSide, Examined
from .linalg import num_leading
from .scaling import norm_and_unit, scaled
from .update import RANKS, Update

# A method is one class and one row. "auto" is resolved per matrix by `BaseMatrix`.
METHODS: dict[str, type[BaseSide]] = {"exact": Exact, "certified": Certified}
# Below this many rows two full decompositions cost no more than the bounds; and for so many tuned matrices per row of
# the base, its decomposition costs no more than the bounds of all of them (both measured on two CPU cores).
_LEAST_ROWS, _TUNED_PER_ROW = 320, 0.01


class BaseMatrix:
    """One base matrix under a method: what is computed once for all that was tuned of it.

    Parameters
    ----------
    W0 : Tensor, shape (out, in)
    method : {"auto", "exact", "certified"}
        ``"auto"`` picks what is fastest for its shape, `k` and `num_tuned`.
    k : int
    num_tuned : int
        How many tuned matrices will be examined.
    """

    def __init__(self, W0: Tensor, method: str, k: int, num_tuned: int = 1) -> None:
        self._unit = norm_and_unit(W0)[1]
        W0 = scaled(W0, self._unit)
        base = None
        if method == "auto":
            certified = min(W0.shape) >= _LEAST_ROWS and k <= num_leading(*W0.shape) // 4
            base = cached_svd(W0) if certified and num_tuned >= _TUNED_PER_ROW * min(W0.shape) else None
            method = "certified" if certified else "exact"
        self._side = METHODS[method](W0, base)

    def examine(self, update: Update, k: int, side: str, epsilons: Sequence[float]) -> list[Examined]:
        """Examine the tuned matrix of `update`, an update of this base; every vector is decided at each epsilon."""
        examined = self._side.examine(update.W, k, side, epsilons, update.directions())
        return [
            replace(
                one_side,
                singular_values=one_side.singular_values.double() / update.unit,
                base_singular_values=one_side.base_singular_values.double() / self._unit,
            )
            for one_side in examined
        ]


def examine(
    W0: Tensor,
    W: Tensor,
    *,
    k: int = 10,
    epsilon: float | Sequence[float] = 0.5,
    side: str = "left",
    method: str = "auto",
) -> list[Examined]:
    """Examine the leading singular vectors of one tuned matrix.

    Parameters
    ----------
    W0, W : Tensor, shape (out, in)
        Base and tuned weights. Half precision is computed in float32; if either is float64, both are.
    k : int
        How many leading singular vectors of `W` to examine; at most ``min(out, in)`` are there.
    epsilon : float or sequence of float
        Cosines at which every vector's verdict is to be certain.
    side : {"left", "right", "both"}
    method : {"auto", "exact", "certified"}
        ``"exact"`` decomposes both in full, as the paper does; ``"certified"`` proves the same verdicts from bounds,
        and decomposes only where they do not decide; ``"auto"`` takes the faster.

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
    epsilons = check_options(k=k, epsilon=epsilon, side=side, method=method)
    for name, matrix in (("W0", W0), ("W", W)):
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"{name} has the shape {tuple(matrix.shape)}; pass a matrix with at least one entry")
        if matrix.is_complex():
            raise ValueError(f"{name} is complex; pass real weights")
        if not torch.isfinite(matrix).all():
            raise ValueError(f"{name} holds NaN or Inf")
    dtype = torch.promote_types(torch.promote_types(W0.dtype, W.dtype), torch.float32)
    W0, W = W0.to(dtype), W.to(dtype)
    return BaseMatrix(W0, method, k).examine(Update(W0, W), k, side, epsilons)


def check_options(
    *, k: int, epsilon: float | Sequence[float], side: str, method: str, ranks: str = "exact"
) -> tuple[float, ...]:
    """All of `epsilon` as a tuple; raise ValueError, in one sentence, for values no verdict can be reached with."""
    try:
        epsilons = (float(epsilon),) if isinstance(epsilon, (int, float)) else tuple(map(float, epsilon))
    except (TypeError, ValueError) as error:
        raise ValueError(f"epsilon must be a number or several, got {epsilon!r}") from error
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    if not epsilons or not all(0 < one <= 1 for one in epsilons):
        raise ValueError(f"epsilon is a cosine and must lie in (0, 1], got {epsilon}")
    if side not in SIDES:
        raise ValueError(f"side must be one of {', '.join(SIDES)}, got {side!r}")
    if method not in ("auto", *METHODS):
        raise ValueError(f"method must be one of auto, {', '.join(METHODS)}, got {method!r}")
    if ranks not in RANKS:
        raise ValueError(f"ranks must be one of {', '.join(RANKS)}, got {ranks!r}")
    return epsilons
