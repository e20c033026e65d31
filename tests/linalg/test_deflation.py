from __future__ import annotations

import numpy as np
import pytest

from spectra.linalg.deflation import deflate


def _deflated(nodes: list[float], first: list[float], last: list[float], resolution: float = 1e-4) -> list[np.ndarray]:
    parts = (np.array([part]) for part in (nodes, first, last))
    return [part[0] for part in deflate(*parts, np.ones(1), np.array([resolution]))]


def test_distinct_nodes_stay_as_they_are() -> None:
    nodes, first, last, settled, coupled = _deflated([1, 2, 3], [0.6, 0.0, 0.8], [0.5, 0.7, 0.5])
    assert nodes.tolist() == [1, 2, 3]
    assert first.tolist() == [0.6, 0.0, 0.8]
    assert last.tolist() == [0.5, 0.7, 0.5]
    assert not settled.any()
    assert not coupled.any()


def test_a_node_without_a_residual_has_settled() -> None:
    assert _deflated([1, 2, 3], [0.6, 0.0, 0.8], [0.5, 1e-6, 0.5])[3].tolist() == [False, True, False]


@pytest.mark.parametrize("num", [2, 3, 5])
def test_coinciding_nodes_become_one_with_a_residual_and_settled_ones(num: int) -> None:
    rng = np.random.default_rng(num)
    first, last = rng.standard_normal(num), rng.standard_normal(num)
    nodes, new_first, new_last, settled, coupled = _deflated(list(1 + 1e-9 * np.arange(num)), list(first), list(last))
    assert settled.sum() == num - 1
    kept = ~settled
    assert abs(new_last[kept][0]) == pytest.approx(np.linalg.norm(last))
    assert abs(new_first[kept][0]) == pytest.approx(abs(first @ last) / np.linalg.norm(last))
    assert (new_first**2).sum() == pytest.approx((first**2).sum())  # no mass is lost
    np.testing.assert_allclose(nodes, 1, atol=1e-8)
    assert (coupled <= 1e-8 * np.linalg.norm(last)).all()


def test_what_a_rotation_leaves_is_what_the_rotated_matrix_has() -> None:
    last = np.array([0.3, 0.9])
    coupled = _deflated([1.0, 1.0005], [0.6, 0.8], list(last), resolution=1e-3)[4]
    length = np.linalg.norm(last)
    R = np.array([[last[1], -last[0]], [last[0], last[1]]]) / length  # rows: without and with the residual
    np.testing.assert_allclose(R @ last, [0, length], atol=1e-15)
    off = (R @ np.diag([1.0, 1.0005]) @ R.T)[0, 1]
    np.testing.assert_allclose(coupled, [length * abs(off), 0], atol=1e-15)


def test_a_pair_is_merged_by_what_it_costs_not_by_its_distance() -> None:
    # 0.001 apart, but a rotation by 1e-2 moves the whole residual into one: the entry left is 1e-5.
    assert _deflated([1, 1.001], [0.6, 0.8], [1e-2, 1.0])[3].tolist() == [True, False]
    assert _deflated([1, 1.001], [0.6, 0.8], [0.5, 0.5])[3].tolist() == [False, False]
    # Further apart they stay two, at whatever cost: a small rotation would give one some of the other's mass.
    assert _deflated([1, 1.01], [0.6, 0.8], [1e-3, 1.0])[3].tolist() == [False, False]


def test_rows_do_not_mix() -> None:
    parts = (np.array([[1.0, 1.0], [1.0, 2.0]]), np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    settled = deflate(*parts, np.ones(2), np.full(2, 1e-6))[3]
    assert settled.tolist() == [[True, False], [False, False]]
