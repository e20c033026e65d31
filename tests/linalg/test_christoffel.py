from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.linalg.christoffel import Array, christoffel_peaks


def _jacobi(atoms: Array, weights: Array, t: int) -> tuple[Array, Array]:
    """Diagonal and off-diagonal (with the coefficient that comes next) of the Jacobi matrix of a discrete measure."""
    basis = [np.sqrt(weights)]
    diagonal, off = [], []
    for _ in range(t):
        vector = atoms * basis[-1]
        diagonal.append(vector @ basis[-1])
        for _ in range(2):
            vector = vector - np.array(basis).T @ (np.array(basis) @ vector)
        off.append(np.linalg.norm(vector))
        basis.append(vector / off[-1])
    return np.array([diagonal]), np.array([off])


def _sampled(diagonal: Array, off: Array, points: Array) -> Array:
    """The function itself, from the three-term recurrence."""
    before, now, total = np.zeros_like(points), np.ones_like(points), np.ones_like(points)
    t = diagonal.shape[1]
    for i in range(t):
        before, now = now, ((points - diagonal[0, i]) * now - (off[0, i - 1] * before if i else 0)) / off[0, i]
        total += now**2
    return 1 / total


def _peaks(diagonal: Array, off: Array, enough: Array, *, above: float | None = None) -> Array:
    resolution = np.full(len(enough), 1e-4 * diagonal.max())
    return christoffel_peaks(diagonal, off[:, :-1], off[:, -1], enough, resolution=resolution, above=above)


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(20, 200),
    t=st.integers(2, 14),
    shape=st.floats(0.5, 5),
    seed=st.integers(0, 9999),
    divided=st.booleans(),
)
def test_above_every_value_and_near_the_greatest(n: int, t: int, shape: float, seed: int, divided: bool) -> None:
    rng = np.random.default_rng(seed)
    atoms = np.sort(0.1 + rng.random(n) ** shape)
    weights = rng.random(n) ** shape
    weights /= weights.sum()
    diagonal, off = _jacobi(atoms, weights, t)
    points = np.union1d(np.linspace(0.1, atoms[-1], 20001), atoms)
    values = _sampled(diagonal, off, points) / (points if divided else 1)
    atom = (weights / (atoms if divided else 1)).max()
    # What has settled is added to what the others leave, wherever that is.
    enough = np.array([1.2 * (values.max() + atom)])
    lowest = 0.1 if divided else None
    (peak,) = _peaks(diagonal, off, enough, above=lowest)
    assert peak >= values.max() * (1 - 1e-6)
    assert peak >= atom * (1 - 1e-6)
    assert peak < enough


def test_a_bound_that_cannot_be_had_is_not_looked_for() -> None:
    diagonal, off = _jacobi(np.linspace(0, 1, 50), np.full(50, 0.02), 4)
    values = _sampled(diagonal, off, np.linspace(0, 1, 1001))
    assert _peaks(diagonal, off, np.array([0.5 * values.max()])) == np.inf


@pytest.mark.parametrize("t", [1, 2])
def test_few_nodes(t: int) -> None:
    diagonal, off = _jacobi(np.linspace(0, 1, 9), np.full(9, 1 / 9), t)
    values = _sampled(diagonal, off, np.linspace(0, 1, 1001))
    assert _peaks(diagonal, off, np.array([2.0])) >= values.max() - 1e-9
