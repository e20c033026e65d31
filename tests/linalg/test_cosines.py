from __future__ import annotations

import pytest
import torch

from spectra.linalg import absolute_cosines


def test_is_the_absolute_product_whatever_the_signs() -> None:
    basis = torch.eye(4)[:, :3]
    vectors = torch.tensor([[0.6, 0.0], [-0.8, 0.0], [0.0, 0.6], [0.0, 0.8]])
    expected = torch.tensor([[0.6, 0.0], [0.8, 0.0], [0.0, 0.6]])
    torch.testing.assert_close(absolute_cosines(basis, vectors), expected)
    torch.testing.assert_close(absolute_cosines(-basis, vectors), expected)


def test_never_passes_one() -> None:
    vector = torch.full((3, 1), 1.0001 / 3**0.5)
    assert absolute_cosines(vector, vector).item() == 1.0


def test_refuses_vectors_of_different_lengths() -> None:
    with pytest.raises(ValueError, match=r"same m, got \(3, 3\) and \(4, 1\)"):
        absolute_cosines(torch.eye(3), torch.ones(4, 1))
