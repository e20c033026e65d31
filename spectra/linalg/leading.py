"""Leading singular triplets by thick-restart block Golub–Kahan iteration, each with a residual bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .operators import Operator, times
from .rounding import null_level, rounding

# Measured on two CPU cores at 384 to 4096 rows: 16 columns cost hardly more than 4 in a product, and restarting at 128
# keeps the small eigenproblems below the products.
BLOCK = 16
_BASIS = 128
# The small problem is solved squared, in float64, which tells values down to eight digits below the largest apart.
_NULL = 1e-6


@dataclass(frozen=True)
class Leading:
    """The ``c`` leading singular triplets of an ``(m, n)`` matrix, as far as they are known.

    Attributes
    ----------
    U : Tensor, shape (m, c)
    s : Tensor, shape (c,), float64, descending
    Vh : Tensor, shape (c, n)
    residuals : Tensor, shape (c,), float64
        For each triplet ``max(‖A v − s u‖, ‖Aᵀ u − s v‖)``, rounding included.
    beyond : float
        No further singular value is above this.
    steps : int
        Pairs of block products it took.
    """

    U: Tensor
    s: Tensor
    Vh: Tensor
    residuals: Tensor
    beyond: float
    steps: int

    @property
    def mT(self) -> Leading:  # noqa: N802 - as a tensor's
        """The same for the transposed matrix."""
        return Leading(self.Vh.mT, self.s, self.U.mT, self.residuals, self.beyond, self.steps)

    def gaps(self) -> Tensor:
        """Distance of each value to the next one on either side, at least, shape (c,), float64."""
        edges = self.s.new_tensor([self.beyond])
        below = self.s - torch.cat([self.s[1:] + self.residuals[1:], edges])
        above = torch.cat([self.s.new_tensor([math.inf]), self.s[:-1] - self.residuals[:-1] - self.s[1:]])
        return torch.minimum(below, above).clamp(min=0)

    def angles(self) -> Tensor:
        """Upper bounds on the sine of the angle between each vector and the singular vector it stands for, shape (c,).

        ``residual / gap``. With exact triplets ``(σ, x, y)`` of ``A`` and ``r = Aᵀu − s v``, ``A v = s u``: since
        ``y·r = σ x·u − s y·v`` and ``σ y·v = x·Av = s x·u``, ``x·u = σ (y·r) / (σ² − s²)``; summed over all other
        triplets, ``sin² ≤ Σ (y·r)² max (σ/(σ² − s²))² ≤ (‖r‖/gap)²`` (the sin θ theorem of Wedin 1972 for one vector).
        """
        return (self.residuals / self.gaps()).nan_to_num(nan=1.0, posinf=1.0).clamp(max=1.0)


def leading(
    A: Operator,
    k: int,
    *,
    angle: float,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_steps: int = 100,
) -> Leading | None:
    """The `k` leading singular triplets, or some more, without forming or decomposing ``A``.

    Block Golub–Kahan bidiagonalisation (Golub, Luk & Overton 1981) on the shorter side, restarted with the leading
    Ritz vectors (Baglama & Reichel 2005), orthogonalised in full on that side (Simon & Zha 2000 show that one side
    is enough). Residual bounds prove that each returned triplet belongs to a singular value; that none above is missing
    rests, as in every Krylov method, on a start that is not orthogonal to it: four random columns at least are in it.

    Parameters
    ----------
    A : (m, n) operator
    k : int
        At most ``num_leading(m, n)``.
    angle : float
        Stop when each of the `k` is this near, as the sine of an angle, to the vector it stands for. Values closer than
        rounding can tell apart are stopped at rounding.
    start : Tensor, shape (n, c), optional
        Right vectors near those sought, for ``m >= n``; left vectors, shape (m, c), else.
    generator : torch.Generator, optional
        Of the random columns; seeded with 0 if not given.
    max_steps : int
        Give up after so many pairs of block products.

    Returns
    -------
    Leading or None
        None where the iteration gave up: `k` reaches into the null space, or converges too slowly.

    Raises
    ------
    ValueError
        If the matrix is too small for `k`.
    """
    if k > num_leading(*A.shape):
        raise ValueError(f"{k} leading triplets of a {A.shape[0]}×{A.shape[1]} matrix: take a full decomposition")
    if A.shape[0] < A.shape[1]:
        found = leading(A.mT, k, angle=angle, start=start, generator=generator, max_steps=max_steps)
        return found.mT if found else None
    m, n = A.shape
    block = _start(A, start, generator)
    b = block.shape[1]
    room = min(max(_BASIS, k + 4 * b), n - b)
    V, U = block.new_empty(n, room + b), block.new_empty(m, room)
    H = torch.zeros(room, room, dtype=torch.float64)  # UᵀAV; small, so it stays on the CPU
    V[:, :b] = block
    size, step, scale, history = 0, 0, 0.0, [(0, 1.0)]
    check = room // b if start is None else 4
    coupled, coupling = U[:, :0], block.new_empty(0, b)
    while True:
        image = torch.addmm(times(A, block), coupled, coupling, alpha=-1)
        scale = max(scale, float(torch.linalg.vector_norm(image, dim=0).max()))
        block, R = _orthonormal(image, U[:, :size], scale)
        U[:, size : size + b] = block
        H[size : size + b, size : size + b] = R
        H[size - coupling.shape[0] : size, size : size + b] = coupling
        size, step = size + b, step + 1
        image = _without(_without(times(A.mT, block), V[:, :size]), V[:, :size])
        after, C = _orthonormal(image, V[:, :size], scale)
        coupled, coupling = block, C.mT
        full = size + b > room
        if full or step >= check:
            P, s, Q, residuals = _ritz(H[:size, :size], C, min(size, k + b))
            noise = rounding(block.dtype) * float(s[0])
            into_null = bool(s[k - 1] <= max(_NULL, null_level(A.shape, A.dtype)) * s[0])
            if not into_null and (known := _num_resolved(s, residuals, noise, k, angle)):
                beyond = float(s[known] + residuals[known])
                left, right = U[:, :size] @ P[:, :known].to(block), V[:, :size] @ Q[:, :known].to(block)
                # Measured, not taken from the recurrence, so that nothing rests on how orthogonal that stayed.
                scaled = s[:known].to(block)
                missed = times(A, right) - left * scaled, times(A.mT, left) - right * scaled
                residuals = torch.maximum(*(torch.linalg.vector_norm(one, dim=0) for one in missed))
                return Leading(left, s[:known], right.mT, residuals.double().cpu() + noise, beyond, step)
            if step >= max_steps or into_null:
                return None
            history.append((step, float(residuals[:k].max() / s[0])))
            check = step + _wait(history, angle)
            if full:
                p = len(s)
                U[:, :p], V[:, :p] = U[:, :size] @ P.to(block), V[:, :size] @ Q.to(block)
                H.zero_()
                H.diagonal()[:p] = s
                coupled, coupling = U[:, :p], (C @ P[size - b :].to(block)).mT
                size = p
        V[:, size : size + b] = after
        block = after


def num_leading(m: int, n: int) -> int:
    """How many leading triplets of an ``(m, n)`` matrix the iteration has room for; 0 for a small matrix."""
    return max(0, (min(m, n) - 6 * BLOCK) // 2)


def _start(A: Operator, start: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Orthonormal columns, a multiple of BLOCK of them, at least four random."""
    given = 0 if start is None else start.shape[1]
    missing = 4 + -(given + 4) % BLOCK
    generator = generator or torch.Generator().manual_seed(0)
    random = torch.randn(A.shape[1], missing, generator=generator).to(device=A.device, dtype=A.dtype)
    block: Tensor = torch.linalg.qr(random if start is None else torch.cat([start.to(random), random], dim=1)).Q
    return block


def _without(X: Tensor, basis: Tensor) -> Tensor:
    return torch.addmm(X, basis, basis.mT @ X, alpha=-1)


def _orthonormal(X: Tensor, basis: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """``X = Q R`` with orthonormal ``Q``; `X` is orthogonal to `basis` up to rounding of size ``eps · scale``.

    Where `X` is small, normalising would blow that rounding up, so that ``Q`` is cleaned once more. Where nothing but
    rounding is left of a direction, the space is exhausted in it, and a random one takes its place.
    """
    Q, R = torch.linalg.qr(X)
    if float(R.diagonal().abs().min()) < 0.03 * scale:
        Q, s, Vh = torch.linalg.svd(X, full_matrices=False)
        R = s[:, None] * Vh
        exhausted = s <= 10 * torch.finfo(X.dtype).eps * scale
        random = torch.randn(Q.shape, generator=torch.Generator().manual_seed(basis.shape[1])).to(Q)
        Q = torch.where(exhausted, random / Q.shape[0] ** 0.5, Q)
        for _ in range(2):
            Q, again = torch.linalg.qr(_without(Q, basis))
            R = again @ R
    return Q, R


def _ritz(H: Tensor, C: Tensor, p: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The `p` leading singular triplets of ``H`` and the residuals ``‖C P_last‖`` they leave in ``Aᵀ``."""
    values, Q = torch.linalg.eigh(H.mT @ H)
    s, Q = values[-p:].flip(0).clamp(min=0).sqrt(), Q[:, -p:].flip(1)
    P = (H @ Q) / s.clamp(min=_NULL * float(s[0]) + torch.finfo(s.dtype).tiny)
    residuals = torch.linalg.vector_norm(C.to(P) @ P[-C.shape[0] :], dim=0)
    return P, s, Q, residuals.masked_fill(s <= _NULL * s[0], torch.inf)


def _num_resolved(s: Tensor, residuals: Tensor, noise: float, k: int, angle: float) -> int:
    """How many leading triplets are within `angle`, or as near as rounding allows; 0 if fewer than `k`."""
    below = s[:-1] - s[1:]
    above = torch.cat([s.new_tensor([torch.inf]), below[:-1]])
    reached = residuals[:-1] <= (angle * torch.minimum(above, below)).clamp(min=noise)
    # The next value is known only as well as its own residual says.
    separate = residuals[1:] <= (0.5 * below).clamp(min=noise)
    resolved = int(reached.cumprod(0).sum())
    candidates = [c for c in range(k, resolved + 1) if separate[c - 1]]
    return max(candidates, default=0)


def _wait(history: list[tuple[int, float]], angle: float) -> int:
    """Steps until the next look: three quarters of what the rate of convergence so far asks for."""
    (before, worse), (now, worst) = history[-2:]
    rate = min(0.7, (worst / worse) ** (1 / (now - before))) if 0 < worst < worse else 0.7
    # A gap of a hundredth of the largest value is usual among leading singular values.
    goal = 0.01 * angle
    return max(1, min(5, int(0.75 * math.log(goal / worst) / math.log(max(rate, 0.1))))) if worst > goal else 1
