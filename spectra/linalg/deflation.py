"""Nodes of a Jacobi matrix that rounding cannot tell from converged or coinciding ones, taken out of the way.

In floating point a Jacobi matrix ``T = S Θ Sᵀ`` with next coefficient ``b`` belongs to a matrix nearby, in which equal
singular values lie a rounding error apart. Once a Krylov space is exhausted, what follows resolves that rounding:
several nodes for one value, each with a part of its mass. What holds for one of them says nothing of the eigenspace.

Two cases, those of the divide-and-conquer eigensolver (Cuppen 1981; Dongarra & Sorensen 1987, section 4): a node whose
residual ``b |S_ti|`` is below the resolution; and two nodes that a rotation turns into one with the residual of both
and one with none, at the price of an off-diagonal entry ``|θ_i − θ_j| c s`` below the resolution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Nodes further apart than so many resolutions stay two: to rotate them a little would give a node of small mass some of
# the other's.
_NEAR = 16.0


def deflate(
    nodes: Array, first: Array, last: Array, coupling: Array, resolution: Array
) -> tuple[Array, Array, Array, npt.NDArray[np.bool_], Array]:
    """Rotate coinciding nodes apart, and mark those without a residual.

    Parameters
    ----------
    nodes, first, last : ndarray, shape (k, t)
        ``θ``, ascending, and the first and last components of its vectors, of `k` Jacobi matrices.
    coupling : ndarray, shape (k,)
        The coefficient ``b`` that comes next.
    resolution : ndarray, shape (k,)
        Differences of nodes, and residuals, that are rounding.

    Returns
    -------
    nodes, first, last : ndarray, shape (k, t)
        ``Σ first²`` is as before.
    settled : ndarray of bool, shape (k, t)
        Nodes without a residual.
    coupled : ndarray, shape (k, t)
        What a rotation left between a settled node and the one with the residual of both, times that residual: zero for
        nodes that were not rotated.

    Examples
    --------
    >>> nodes, parts = np.array([[1.0, 1.0, 3.0]]), np.array([[0.6, 0.8, 0.0]])
    >>> _, first, _, settled, _ = deflate(nodes, parts, np.full((1, 3), 3**-0.5), np.ones(1), np.full(1, 1e-6))
    >>> settled[0].tolist(), first[0].round(2).tolist()
    ([True, False, False], [-0.14, 0.99, 0.0])
    """
    nodes, first, last = nodes.copy(), first.copy(), last.copy()
    rows, coupled = np.arange(len(nodes)), np.zeros_like(nodes)
    settled = coupling[:, None] * np.abs(last) <= resolution[:, None]
    before = np.where(settled[:, 0], -1, 0)  # the last node so far that has a residual; none is -1
    for j in range(1, nodes.shape[1]):
        i = before
        length = np.hypot(last[rows, i], last[:, j])
        c, s = last[:, j] / np.maximum(length, 1e-300), last[rows, i] / np.maximum(length, 1e-300)
        apart = nodes[:, j] - nodes[rows, i]
        together = (i >= 0) & ~settled[:, j] & (apart <= _NEAR * resolution) & (np.abs(apart * c * s) <= resolution)
        if together.any():
            r, a = rows[together], i[together]
            c, s, apart = c[together], s[together], apart[together]
            last[r, a], last[r, j] = 0.0, length[together]
            first[r, a], first[r, j] = c * first[r, a] - s * first[r, j], s * first[r, a] + c * first[r, j]
            nodes[r, a], nodes[r, j] = nodes[r, a] + apart * s**2, nodes[r, j] - apart * s**2
            settled[r, a] = True
            coupled[r, a] = coupling[r] * length[together] * np.abs(apart * c * s)
        before = np.where(settled[:, j], before, j)
    return nodes, first, last, settled, coupled
