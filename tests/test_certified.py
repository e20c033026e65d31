"""The certified verdict is the exact one: planted cases of every kind, each decided both ways."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spectra import Examined, examine
from spectra.certified import Certified
from spectra.exact import Exact
from spectra.linalg import LowRank, Updated
from spectra.update import Update
from tests.oracles import SPECTRA, with_intruders, with_spectrum

# 10,000 take a quarter of an hour on two cores: SPECTRA_CASES=10000 pytest tests/test_certified.py
CASES = int(os.environ.get("SPECTRA_CASES", "150"))
EPSILONS = (0.3, 0.5, 0.8)
# The bounds hold for the matrices; two decompositions in single precision may differ by this much.
TOLERANCE = 1e-3


def _assert_same(certified: Examined, exact: Examined, epsilons: tuple[float, ...]) -> None:
    for epsilon in epsilons:
        assert certified.undecided(epsilon) == []
        assert certified.intruders(epsilon) == exact.intruders(epsilon)
    assert (certified.lower <= exact.max_cosine + TOLERANCE).all()
    assert (exact.max_cosine <= certified.upper + TOLERANCE).all()
    known = certified.nearest >= 0
    torch.testing.assert_close(
        certified.max_cosine[known].double(), exact.max_cosine[known].double(), atol=0.01, rtol=0
    )


shapes = st.one_of(
    st.tuples(st.integers(8, 512), st.integers(8, 512)),
    st.integers(120, 512).map(lambda n: (n, n)),
    st.integers(120, 250).map(lambda n: (2 * n, n)),
    st.integers(120, 250).map(lambda n: (n, 2 * n)),
)


PLANTED = {
    "shape": shapes,
    "spectrum": st.sampled_from(sorted(SPECTRA)),
    "k": st.integers(1, 12),
    "margins": st.lists(st.sampled_from([-0.3, -0.05, -1e-3, 1e-3, 0.05, 0.2]), min_size=1, max_size=6),
    "epsilon": st.sampled_from(EPSILONS),
    "other": st.integers(0, 20),
    "side": st.sampled_from(["left", "right"]),
    "seed": st.integers(0, 10**6),
    "dtype": st.sampled_from([torch.float32, torch.float64]),
}


def _check_planted_intruders(
    shape: tuple[int, int],
    spectrum: str,
    k: int,
    margins: list[float],
    epsilon: float,
    other: int,
    side: str,
    seed: int,
    dtype: torch.dtype,
) -> None:
    """Intruders with cosines at epsilon ± 1e-3 and further off, among leading base vectors and deeper ones."""
    rng = np.random.default_rng(seed)
    p = min(shape)
    cosines = [min(0.995, max(0.05, epsilon + margin)) for margin in margins][: max(1, p // 4)]
    m, n = shape if side == "left" else shape[::-1]
    W0, W = with_intruders(rng, m, n, SPECTRA[spectrum](rng, p), cosines, other=min(other, p - len(cosines)))
    W0, W = (W0, W) if side == "left" else (W0.mT.contiguous(), W.mT.contiguous())
    W0, W = W0.to(dtype), W.to(dtype)
    (certified,) = examine(W0, W, k=k, epsilon=epsilon, side=side, method="certified")
    (exact,) = examine(W0, W, k=k, epsilon=epsilon, side=side, method="exact")
    _assert_same(certified, exact, (epsilon,))


RANDOM = {
    "shape": shapes,
    "spectrum": st.sampled_from(sorted(SPECTRA)),
    "rank": st.sampled_from([1, 2, 8, 300]),
    "strength": st.sampled_from([0.01, 0.3, 1.0, 3.0]),
    "side": st.sampled_from(["left", "right", "both"]),
    "seed": st.integers(0, 10**6),
    "dtype": st.sampled_from([torch.float32, torch.float64]),
}


def _check_random_updates(
    shape: tuple[int, int], spectrum: str, rank: int, strength: float, side: str, seed: int, dtype: torch.dtype
) -> None:
    """Updates of low and full rank, as factors and merged."""
    rng = np.random.default_rng(seed)
    U, s, Vh = with_spectrum(rng, *shape, SPECTRA[spectrum](rng, min(shape)))
    W0 = torch.from_numpy((U * s) @ Vh).to(dtype)
    B, A = (torch.from_numpy(rng.standard_normal(d)).to(dtype) for d in ((shape[0], rank), (rank, shape[1])))
    size = float(torch.linalg.matrix_norm(LowRank(B, A).dense(), 2))
    factors = LowRank(B, A, strength * float(s.max()) / size)
    merged = Update(W0, W0 + factors.dense())
    method = Certified(W0)
    exact = Exact(W0).examine(merged.W, 10, side, EPSILONS)
    for update in (merged, Update(W0, factors)):
        for one, two in zip(method.examine(update.W, 10, side, EPSILONS, update.directions()), exact, strict=True):
            _assert_same(one, two, EPSILONS)


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=st.fixed_dictionaries(PLANTED))
def test_verdicts_of_planted_intruders(case: dict[str, Any]) -> None:
    _check_planted_intruders(**case)


@settings(max_examples=max(30, CASES // 5), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=st.fixed_dictionaries(RANDOM))
def test_verdicts_of_random_updates(case: dict[str, Any]) -> None:
    _check_random_updates(**case)


@pytest.mark.parametrize("shape", [(400, 400), (600, 300), (300, 600)])
@pytest.mark.parametrize("spectrum", ["pretrained", "normal"])
def test_most_is_decided_without_a_decomposition(
    shape: tuple[int, int], spectrum: str, rng: np.random.Generator
) -> None:
    # Without this the tests above could all be passed by falling back.
    U, s, Vh = with_spectrum(rng, *shape, np.sort(SPECTRA[spectrum](rng, min(shape)) + 0.1)[::-1])
    W0 = torch.from_numpy((U * s) @ Vh).float()
    B, A = (torch.from_numpy(rng.standard_normal(d)).float() for d in ((shape[0], 4), (4, shape[1])))
    factors = LowRank(B, A, 1.2 * float(s[0]) / float(torch.linalg.matrix_norm(LowRank(B, A).dense(), 2)))
    for found in Certified(W0).examine(Updated(W0, factors), 10, "both", (0.5,), factors.svd()):
        assert found.method == "certified"
        assert len(found.intruders(0.5)) >= 2
        assert (found.upper[found.intruders(0.5)] < 0.5).all()


def test_what_bounds_leave_open_is_decided_by_decomposing_the_base_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    W0, W = with_intruders(rng, 200, 200, SPECTRA["pretrained"](rng, 200), [0.49, 0.52], other=80)
    calls = []
    monkeypatch.setattr("spectra.certified.cached_svd", lambda matrix: calls.append(1) or Exact(matrix).base)
    method = Certified(W0)
    for _ in range(2):
        (found,) = method.examine(W, 5, "left", (0.5,))
        assert found.method == "certified with the base's SVD"
        assert found.intruders(0.5)[0] == 0
        assert 1 not in found.intruders(0.5)
    assert len(calls) == 1


def test_equal_leading_values_are_left_to_the_exact_method(rng: np.random.Generator) -> None:
    U, s, Vh = with_spectrum(rng, 200, 200, np.linspace(1.0, 0.1, 200))
    W = (U * np.r_[2.0, 2.0, 2.0, s[3:]]) @ Vh
    (found,) = examine(torch.from_numpy((U * s) @ Vh).float(), torch.from_numpy(W).float(), method="certified")
    assert found.method == "exact"


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_bound_that_is_off_is_caught(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the upper bound halved, or the lower one doubled, the property above fails."""
    if factor < 1:
        real = Certified.examine.__globals__["atom_bounds"]
        monkeypatch.setattr(
            "spectra.certified.atom_bounds", lambda *a, **o: (factor * bound for bound in real(*a, **o))
        )
    else:
        real = Certified.examine.__globals__["match"]

        def doubled(known: object, U: torch.Tensor) -> object:
            import dataclasses

            found = real(known, U)
            return dataclasses.replace(found, lower=factor * found.lower)

        monkeypatch.setattr("spectra.certified.match", doubled)

    # Not shrunk: nobody reads the smallest case of a bound that was broken on purpose.
    options = settings(
        max_examples=100,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    @options
    @given(case=st.fixed_dictionaries(PLANTED))
    def planted(case: dict[str, Any]) -> None:
        _check_planted_intruders(**case)

    with pytest.raises(Exception, match=r"assert|not close|distinct failures"):  # a group, where several cases fail
        planted()
