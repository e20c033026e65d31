"""Cosines between unit vectors and an orthonormal basis."""

from __future__ import annotations

from torch import Tensor


def absolute_cosines(basis: Tensor, vectors: Tensor) -> Tensor:
    """``|basisᵀ vectors|``: how far each vector lies along each basis vector, whatever the sign of either.

    This is the similarity matrix of arXiv 2410.21228, Fig. 1-3, when both arguments hold singular vectors.

    Parameters
    ----------
    basis : Tensor, shape (m, p)
        Unit vectors, one a column.
    vectors : Tensor, shape (m, k)
        Unit vectors, one a column.

    Returns
    -------
    Tensor, shape (p, k), entries in [0, 1]
        Rounding can carry a product of unit vectors past one; it is cut there.

    Raises
    ------
    ValueError
        If the vectors of the two have different lengths.
    """
    if basis.ndim != 2 or vectors.ndim != 2 or basis.shape[0] != vectors.shape[0]:
        raise ValueError(
            f"expected (m, p) and (m, k) with the same m, got {tuple(basis.shape)} and {tuple(vectors.shape)}"
        )
    return (basis.mT @ vectors).abs().clamp(max=1.0)
