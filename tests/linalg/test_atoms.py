from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import spectra.linalg.christoffel
from spectra.linalg import atom_bounds, least_singular_value, rounding
from spectra.linalg.bidiagonal import bidiagonalise
from tests.oracles import SPECTRA, orthogonal, with_spectrum

# The bounds are those of exact arithmetic; single precision may miss by this much.
TOLERANCE = 1e-3
# SPECTRA_CASES=200000 pytest tests/linalg/test_atoms.py takes most of an hour.
CASES = int(os.environ.get("SPECTRA_CASES", "150"))


def _bounds(A: torch.Tensor, starts: torch.Tensor, steps: int, least: float, enough: float = 1.0) -> list[torch.Tensor]:
    goal = torch.full((starts.shape[1],), enough, dtype=torch.float64)
    largest = float(torch.linalg.matrix_norm(A, 2))
    return list(atom_bounds(A, starts, enough=goal, largest=largest, least=least, steps=steps))


def _starts(rng: np.random.Generator, U: np.ndarray, k: int, mixing: int) -> np.ndarray:
    """Unit vectors: some spread over everything, some on a few singular vectors."""
    m, p = U.shape
    spread = rng.standard_normal((m, k))
    few = U[:, rng.integers(0, p, mixing)] @ rng.standard_normal((mixing, k))
    starts = np.where(np.arange(k) % 2, few + 0.1 * spread / m**0.5, spread)
    return starts / np.linalg.norm(starts, axis=0)


CASE = {
    "spectrum": st.sampled_from(sorted(SPECTRA)),
    "shape": st.one_of(st.tuples(st.integers(2, 160), st.integers(2, 160)), st.integers(2, 120).map(lambda n: (n, n))),
    "mixing": st.integers(1, 6),
    "steps": st.integers(1, 40) | st.just(1000),  # to the very end
    "seed": st.integers(0, 9999),
    "dtype": st.sampled_from([torch.float32, torch.float64]),
}


def _check_no_singular_vector_holds_more(
    spectrum: str, shape: tuple[int, int], mixing: int, steps: int, seed: int, dtype: torch.dtype
) -> None:
    rng = np.random.default_rng(seed)
    m, n = shape
    U, s, Vh = with_spectrum(rng, m, n, SPECTRA[spectrum](rng, min(m, n)))
    A = torch.from_numpy((U * s) @ Vh).to(dtype)
    starts = _starts(rng, U, 4, mixing)
    # An atom is a whole eigenspace: vectors whose values rounding cannot tell apart count together.
    same = np.abs(s[:, None] - s[None, :]) <= rounding(dtype) * s.max()
    exact = np.sqrt(same.astype(float) @ (U.T @ starts) ** 2).max(axis=0)
    least = least_singular_value(A) if m > n else 0.0
    before = np.ones(4)
    for bound in _bounds(A, torch.from_numpy(starts).to(dtype), max(1, min(steps, m - 1, n)), least):
        assert (bound.numpy() >= exact - TOLERANCE).all()
        assert (bound.numpy() <= before).all()
        before = bound.numpy()


@settings(max_examples=CASES, deadline=None)
@given(**CASE)
# Few distinct values: the Krylov space is exhausted after as many steps, and what follows resolves rounding.
@example(spectrum="repeated", shape=(64, 32), mixing=1, steps=32, seed=1, dtype=torch.float32)
@example(spectrum="repeated", shape=(86, 30), mixing=2, steps=34, seed=8729, dtype=torch.float32)
@example(spectrum="repeated", shape=(148, 17), mixing=1, steps=27, seed=4170, dtype=torch.float32)
# A null space, whose node is a rounding error below zero.
@example(spectrum="rank deficient", shape=(29, 29), mixing=1, steps=1000, seed=3, dtype=torch.float64)
# Squared values below the resolution of the squares.
@example(spectrum="steep", shape=(14, 9), mixing=3, steps=9, seed=2617, dtype=torch.float32)
@example(spectrum="steeper", shape=(50, 14), mixing=2, steps=14, seed=389975, dtype=torch.float64)
def test_no_singular_vector_holds_more(
    spectrum: str, shape: tuple[int, int], mixing: int, steps: int, seed: int, dtype: torch.dtype
) -> None:
    _check_no_singular_vector_holds_more(spectrum, shape, mixing, steps, seed, dtype)


def test_they_fall_below_a_half_within_ten_steps_and_go_on_falling(rng: np.random.Generator) -> None:
    A = torch.from_numpy(rng.standard_normal((500, 500)) / 500**0.5).float()
    start = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((500, 1))).float(), dim=0)
    bounds = torch.cat(_bounds(A, start, 40, 0.0, enough=1.1))
    assert (bounds[:-2] >= bounds[1:-1] - 0.01).all()
    assert bounds[5] < 0.5  # after ten
    assert bounds[-2] < 0.35


def test_a_vector_that_is_one_is_not_bounded_away(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 200, 200, np.linspace(1.0, 0.1, 200))
    A = torch.from_numpy((U * s) @ Vh).float()
    for cosine in (1.0, 0.8, 0.3):
        start = cosine * U[:, [100]] + (1 - cosine**2) ** 0.5 * U[:, [150]]
        assert (
            _bounds(A, torch.from_numpy(start).float(), 40, 0.0)[-1] >= max(cosine, (1 - cosine**2) ** 0.5) - TOLERANCE
        )


def test_the_null_space_of_a_tall_matrix_does_not_count(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 400, 100, np.linspace(2.0, 0.5, 100))
    A = torch.from_numpy((U * s) @ Vh).float()
    g = rng.standard_normal((400, 1))
    outside = g - U @ (U.T @ g)
    start = torch.from_numpy(outside / np.linalg.norm(outside) * 0.95 + 0.05 * g / np.linalg.norm(g)).float()
    start /= start.norm()
    assert _bounds(A, start, 12, least_singular_value(A))[-1] < 0.3  # though 0.95 of it is one atom, at zero
    assert _bounds(A, start, 12, 0.0)[-1] == 1.0  # without a lower end nothing is claimed


def test_known_vectors_are_left_out(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 200, 200, np.r_[np.linspace(30, 20, 5), np.linspace(1.0, 0.1, 195)])
    A, known = torch.from_numpy((U * s) @ Vh).float(), torch.from_numpy(U[:, :5]).float()
    start = torch.from_numpy(U[:, 5:] @ np.ones((195, 1)) / 195**0.5).float()
    goal = torch.ones(1, dtype=torch.float64)
    (bound, *_) = list(atom_bounds(A, start, enough=goal, largest=30.0, least=0.0, steps=8, without=known))[-1]
    assert 195**-0.5 <= bound < 0.5


# Negative controls: the same property, with bounds that are off. Not shrunk, as nobody reads the smallest failure.
@pytest.mark.parametrize("name", ["the Gauss weights for the atoms", "every node for a vector of its own"])
def test_a_broken_bound_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "the Gauss weights for the atoms":
        real = spectra.linalg.christoffel.christoffel_peaks
        monkeypatch.setattr("spectra.linalg.atoms.christoffel_peaks", lambda *a, **o: 0.5 * real(*a, **o))
    else:
        monkeypatch.setattr("spectra.linalg.atoms._RESOLUTION", 0.0)
        monkeypatch.setattr("spectra.linalg.atoms._LEAST_RESOLUTION", 1e-14)
    check = settings(max_examples=2000, deadline=None, phases=[Phase.explicit, Phase.generate], database=None)(
        given(**CASE)(_check_no_singular_vector_holds_more)
    )
    for found in ((64, 32, 1, 32, 1), (86, 30, 2, 34, 8729), (148, 17, 1, 27, 4170)):
        m, n, mixing, steps, seed = found
        check = example(spectrum="repeated", shape=(m, n), mixing=mixing, steps=steps, seed=seed, dtype=torch.float32)(
            check
        )
    with pytest.raises(Exception, match=r"assert|distinct failures"):  # a group, where several cases fail
        check()


def test_coefficients_are_those_of_an_orthonormal_bidiagonalisation(rng: np.random.Generator) -> None:
    A = torch.from_numpy(rng.standard_normal((40, 30)))
    start = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((40, 2))), dim=0)
    alphas, betas = zip(*bidiagonalise(A, start, 29), strict=True)
    for j in range(2):
        B = torch.diag(torch.stack(alphas)[:, j]) + torch.diag(torch.stack(betas)[:-1, j], -1)
        # The first 29 moments of the measure: qᵀ(AAᵀ)^i q.
        vector, mine = start[:, j], torch.eye(29, dtype=torch.float64)[0]
        for _ in range(8):
            vector, mine = A @ (A.mT @ vector), B @ (B.mT @ mine)
            torch.testing.assert_close(start[:, j] @ vector, mine[0], rtol=1e-9, atol=0)


def test_left_vectors_can_be_projected_out(rng: np.random.Generator) -> None:
    A = torch.from_numpy(rng.standard_normal((30, 30)))
    X = torch.from_numpy(orthogonal(rng, 30)[:, :3].copy())
    P = torch.eye(30, dtype=torch.float64) - X @ X.mT
    start = torch.nn.functional.normalize(P @ torch.from_numpy(rng.standard_normal((30, 1))), dim=0)
    found = list(bidiagonalise(A, start, 10, without=X))
    for one, two in zip(found, bidiagonalise(P @ A, start, 10), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=0)


def test_what_is_projected_out_stays_out(rng: np.random.Generator) -> None:
    # A known vector that is a little off: what the recurrence brings back of it would grow threefold a step.
    U, s, Vh = with_spectrum(rng, 200, 200, np.linspace(1.0, 0.5, 200))
    off = U[:, [0]] + 0.02 * U[:, [90]]
    X, A = torch.from_numpy(off / np.linalg.norm(off)).float(), torch.from_numpy((U * s) @ Vh).float()
    start = torch.from_numpy(rng.standard_normal((200, 1))).float()
    start = torch.nn.functional.normalize(start - X @ (X.mT @ start), dim=0)
    alphas, betas = zip(*bidiagonalise(A, start, 40, without=X), strict=True)
    B = torch.diag(torch.cat(alphas).double()) + torch.diag(torch.cat(betas)[:-1].double(), -1)
    assert torch.linalg.svdvals(B)[0] <= 1 + 1e-5
