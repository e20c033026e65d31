"""The greatest value of a Christoffel function, from the Jacobi matrix of its measure, bounded rigorously.

With ``T = S Θ Sᵀ`` the t×t Jacobi matrix and ``b`` its next coefficient, the orthonormal polynomials at ``λ`` satisfy
``(T − λ) p = −b p_t e_t``, so with ``w_i = S_ti / (θ_i − λ)``::

    f(λ)  =  1 / Σ_{i<=t} p_i(λ)²  =  (Σ S_1i w_i)² / (Σ w_i² + 1/b²)

``√f`` is the cosine between two vectors, ``S_1`` and ``(w, 1/b)``. It peaks sharply at nodes that have converged, so no
fixed grid is safe. Between the nodes ``θ_i`` and ``θ_{i+1}``, ``d`` apart, the second vector times
``q(λ) = (λ − θ_i)(θ_{i+1} − λ)/d`` has the same direction, is linear in ``λ`` in both these components, and bends
little in the others: their second derivatives are ``2 S_tj q(θ_j) / (θ_j − λ)³``. So on an interval ``√f`` is at most
its greatest value along a straight line, which solves a 2×2 problem, widened by ``length²/8`` times the norm of the
second derivative. Outside the nodes ``f`` falls.

In floating point ``T`` is that of a matrix nearby, whose eigenvectors in a cluster are other mixtures of the same, and
an atom that belongs to a cluster is the mass of all of it. Nodes that have settled are therefore taken out
(`deflation`), and the mass of all of them that lie together is added to what the others leave: with the vectors split
into settled parts ``s`` and others ``u``, ``(a_s + a_u)² / (n_s + n_u) <= a_s²/n_s + a_u²/n_u``, and ``a_s²/n_s`` is at
most that mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .deflation import deflate

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Each cell between two nodes is cut into this many intervals at first, half of them geometric from either end.
_PER_CELL = 10
# Then those with the greatest bounds are split further, until the bound is within the tolerance of a value.
_WORST, _SPLIT, _ROUNDS, _TOLERANCE = 8, 4, 24, 0.02
_TINY = 1e-300
# Settled nodes this near to each other, relative to the largest, are together.
_TOGETHER = 0.02


def christoffel_peaks(
    diagonal: Array,
    off_diagonal: Array,
    coupling: Array,
    enough: Array,
    *,
    resolution: Array,
    above: float | None = None,
) -> Array:
    """Upper bounds on ``max_λ f(λ)``, or on ``max_{λ >= above} f(λ)/λ``, for several measures of mass one.

    Parameters
    ----------
    diagonal, off_diagonal : ndarray, shapes (k, t) and (k, t − 1)
        Of the Jacobi matrices.
    coupling : ndarray, shape (k,)
        The coefficient ``b`` that comes next.
    enough : ndarray, shape (k,)
        What the bounds are wanted below. If that cannot be for some, all are infinite; once it is, none is refined.
    resolution : ndarray, shape (k,)
        Differences of nodes that are rounding.
    above : float, optional
        Divide by ``λ``, and look only at ``λ`` at least this large. No node is below it.

    Returns
    -------
    ndarray, shape (k,)
    """
    k, t = diagonal.shape
    T = np.zeros((k, t, t))
    T[:, range(t), range(t)] = diagonal
    T[:, range(t - 1), range(1, t)] = T[:, range(1, t), range(t - 1)] = off_diagonal
    nodes, S = np.linalg.eigh(T)
    nodes, first, last, settled, coupled = deflate(nodes, S[:, 0], S[:, -1], coupling, resolution)
    nodes = np.maximum(nodes, 0.0 if above is None else above)  # rounding can take them below
    # Where the bound is divided by λ, a node stands for any value that rounding allows.
    scale = np.ones_like(nodes) if above is None else np.maximum(0.9 * nodes - resolution[:, None], above)
    masses = first**2 / scale
    near = np.abs(nodes[:, :, None] - nodes[:, None, :]) <= _TOGETHER * nodes[:, -1:, None]
    apart = (near * (masses * settled)[:, None, :]).sum(axis=2).max(axis=1, where=settled, initial=0.0)
    if (np.maximum(masses.max(axis=1), apart) >= enough).any():
        return np.full(k, np.inf)
    # What settled nodes can add to a_u where λ is further from them than half of that: next to b a_u, n_u >= 1/b².
    residuals = coupling[:, None] * np.abs(last)
    distances = np.broadcast_to(np.maximum(_TOGETHER / 2 * nodes[:, -1:], 1e-140), nodes.shape)
    if above is not None:  # or below nine tenths of one: little, but divided by a small λ
        distances = np.minimum(distances, 0.1 * nodes)
    afar = (settled * np.abs(first) * (residuals / distances + coupled / distances**2)).sum(axis=1)
    # Out of the way, below zero, so that they bound no cell between the others.
    nodes = np.where(settled, -(nodes[:, -1:] + _TINY) * np.arange(1, t + 1), nodes)
    order = np.argsort(nodes, axis=1)
    nodes, first, last = (np.take_along_axis(part, order, axis=1) for part in (nodes, first, last))
    gaps = np.diff(nodes, axis=1)
    least_gap = 1e-13 * np.abs(nodes).max(axis=1, keepdims=True) + _TINY
    nodes[:, 1:] += np.cumsum(np.maximum(least_gap - gaps, 0.0), axis=1)
    first, last = (np.where(nodes < 0, 0.0, part) for part in (first, last))
    rest = np.maximum(coupling, 1e-60)[:, None] ** -2
    f = _Christoffel(nodes, first, last, rest, afar[:, None], resolution[:, None], above)
    outside = apart + f.outside()
    if t == 1 or (nodes[:, -2] < 0).all():
        return np.asarray(outside)
    enough = enough - apart
    cells, low, high = _intervals(nodes, last)
    bound, value = f.on_intervals(cells, low, high)
    for _ in range(_ROUNDS):
        top, reached = bound.max(axis=1), value.max(axis=1)
        if (reached >= enough).any():
            return np.full(k, np.inf)
        if ((top < enough) | (top <= (1 + _TOLERANCE) * reached)).all():
            break
        worst = np.argpartition(bound, -_WORST, axis=1)[:, -_WORST:]
        a, b = (np.take_along_axis(ends, worst, axis=1) for ends in (low, high))
        edges = a[..., None] + (b - a)[..., None] * np.linspace(0, 1, _SPLIT + 1)
        np.put_along_axis(bound, worst, 0.0, axis=1)
        new_cells = np.repeat(np.take_along_axis(cells, worst, axis=1), _SPLIT, axis=1)
        new_low, new_high = edges[..., :-1].reshape(k, -1), edges[..., 1:].reshape(k, -1)
        new_bound, new_value = f.on_intervals(new_cells, new_low, new_high)
        cells = np.concatenate([cells, new_cells], axis=1)
        low, high = np.concatenate([low, new_low], axis=1), np.concatenate([high, new_high], axis=1)
        bound, value = np.concatenate([bound, new_bound], axis=1), np.concatenate([value, new_value], axis=1)
    return np.asarray(np.maximum(apart + bound.max(axis=1), outside))


@dataclass(frozen=True)
class _Christoffel:
    """``f``, or ``f/λ`` for ``λ >= above``, of nodes some of which are left out.

    `nodes`, `first` and `last` are of shape (k, t), those left out negative; `rest` ``= 1/b²``, `afar`, what has to be
    added to ``√f``, and `resolution` of (k, 1).
    """

    nodes: Array
    first: Array
    last: Array
    rest: Array
    afar: Array
    resolution: Array
    above: float | None

    def _scaled(self, f: Array, low: Array) -> Array:
        """Bound on the whole, or on the whole divided by λ, from one on ``f`` and the least λ."""
        whole = (np.sqrt(f) + self.afar) ** 2
        return whole if self.above is None else whole / np.maximum(low - self.resolution, self.above)

    def on_intervals(self, cells: Indices, low: Array, high: Array) -> tuple[Array, Array]:
        """Bound on each interval of a cell, and the greater value at its ends; all of shape (k, I)."""
        nodes, last = self.nodes[:, None, :], self.last[:, None, :]
        start, end = (np.take_along_axis(self.nodes, cells + i, axis=1) for i in (0, 1))
        d = end - start
        t = self.nodes.shape[1]
        own = (np.arange(t) == cells[..., None]) | (np.arange(t) == cells[..., None] + 1)

        def directions(points: Array) -> tuple[Array, Array]:
            q = (points - start) * (end - points) / d
            distance = np.where(own, 1.0, nodes - points[..., None])
            w = last * np.where(own, 0.0, q[..., None] / distance)
            sides = np.stack([points - end, points - start], axis=2) / d[..., None]
            np.put_along_axis(w, np.stack([cells, cells + 1], axis=2), _pair(self.last, cells) * sides, axis=2)
            return w, q * np.sqrt(self.rest)

        (u, u_rest), (v, v_rest) = directions(low), directions(high)
        at_u, at_v = (np.einsum("kpt,kt->kp", w, self.first) for w in (u, v))
        uu = np.einsum("kpt,kpt->kp", u, u) + u_rest**2 + _TINY
        vv = np.einsum("kpt,kpt->kp", v, v) + v_rest**2 + _TINY
        uv = np.einsum("kpt,kpt->kp", u, v) + u_rest * v_rest
        value = np.maximum(at_u**2 / uu, at_v**2 / vv)
        # Along (1 − τ) u + τ v the cosine is stationary where the coefficients solve the normal equations.
        a, b, determinant = at_u * vv - at_v * uv, at_v * uu - at_u * uv, uu * vv - uv**2
        inside = (a * b > 0) & (determinant > 1e-12 * uu * vv)
        straight = np.where(inside, (at_u * a + at_v * b) / np.where(inside, determinant, 1.0), 0.0)
        distance = np.minimum(np.abs(nodes - low[..., None]), np.abs(nodes - high[..., None]))
        q_there = np.abs((nodes - start[..., None]) * (nodes - end[..., None])) / d[..., None]
        bent = np.where(own, 0.0, 2 * last * q_there / np.where(own, 1.0, distance) ** 3)
        bends = np.sqrt(np.einsum("kpt,kpt->kp", bent, bent) + self.rest * (2 / d) ** 2) * (high - low) ** 2 / 8
        # With components of like signs, no point of the line is shorter than this.
        relative = bends / np.sqrt(np.minimum(uu, vv) / 2)
        cosine = (np.sqrt(np.maximum(straight, value)) + relative) / np.maximum(1 - relative, 0.5)
        bound = np.where(relative < 0.5, np.minimum(cosine, 1.0), 1.0) ** 2
        bound = self._scaled(bound, low)
        if self.above is not None:
            value = value / np.where(start < 0, 1.0, high)
        return np.where(start < 0, 0.0, bound), np.where(start < 0, 0.0, value)

    def outside(self) -> Array:
        """Bound outside the nodes, where ``f`` falls, and between `above` and the first, where it rises, shape (k,)."""
        if self.above is None:
            return np.asarray(self._scaled((self.first**2).max(axis=1, keepdims=True), self.resolution).max(axis=1))
        above = self.above
        lowest = np.where(self.nodes > 0, self.nodes, np.inf).min(axis=1, keepdims=True)
        lowest = np.where(np.isfinite(lowest), lowest, above)
        points = above * (lowest / above) ** np.linspace(0, 1, 65)  # (k, 65)
        near = 1e-13 * np.abs(self.nodes).max(axis=1)[:, None, None] + _TINY
        w = self.last[:, None, :] / np.maximum(np.abs(self.nodes[:, None, :] - points[:, 1:-1, None]), near)
        inner = np.einsum("kpt,kt->kp", w, self.first) ** 2
        inner /= np.maximum(np.einsum("kpt,kpt->kp", w, w) + self.rest, _TINY)
        at_lowest = np.where(self.nodes == lowest, self.first**2, 0.0).sum(axis=1, keepdims=True)
        values = np.concatenate([inner, at_lowest], axis=1)
        return np.asarray(self._scaled(values, points[:, :-1]).max(axis=1))


def _pair(values: Array, cells: Indices) -> Array:
    """``values`` at both ends of each cell, (k, t) and (k, I) to (k, I, 2)."""
    return np.stack([np.take_along_axis(values, cells + i, axis=1) for i in (0, 1)], axis=2)


def _intervals(nodes: Array, last: Array) -> tuple[Indices, Array, Array]:
    """Cell, low and high end of the first intervals, each of shape (k, I)."""
    k, t = nodes.shape
    half = _PER_CELL // 2
    # A node that has nearly converged, with a small S_ti, rules a neighbourhood as wide as its square root.
    inner = np.clip(np.sqrt(np.abs(last)), 1e-5, 0.1)[..., None] ** np.linspace(1, 0, half) / 2  # (k, t, half)
    up = np.concatenate([np.zeros((k, t - 1, 1)), inner[:, :-1]], axis=2)
    down = 1 - np.concatenate([np.zeros((k, t - 1, 1)), inner[:, 1:, :]], axis=2)[..., ::-1]
    fractions = np.concatenate([up, down[..., 1:]], axis=2)  # (k, t - 1, PER_CELL + 1)
    points = nodes[:, :-1, None] + (nodes[:, 1:] - nodes[:, :-1])[..., None] * fractions
    cells = np.broadcast_to(np.arange(t - 1)[:, None], (k, t - 1, 2 * half))
    return cells.reshape(k, -1), points[..., :-1].reshape(k, -1), points[..., 1:].reshape(k, -1)
