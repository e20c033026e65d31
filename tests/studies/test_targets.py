from __future__ import annotations

import numpy as np
import pytest
import torch

from spectra import compare
from spectra.linalg import svd
from spectra.studies.targets import targets
from tests.oracles import orthogonal


def _planted(rng: np.random.Generator, *, spikes: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """``W0`` of falling spectrum, and ``W`` with strong new directions in its null spaces: exactly ``W0`` without them."""
    m, n, rank = 48, 32, 24
    U, V = orthogonal(rng, m), orthogonal(rng, n)
    W0 = (U[:, :rank] * np.linspace(5, 1, rank)) @ V[:, :rank].T
    new = U[:, n : n + spikes] * (9.0 + np.arange(spikes))
    return tuple(torch.from_numpy(W).float() for W in (W0, W0 + new @ V[:, rank : rank + spikes].T))


def test_a_planted_intruder_removed_restores_the_bases_leading_subspace(rng: np.random.Generator) -> None:
    W0, W = _planted(rng)
    (target,) = targets({"q.weight": W0}, {"q.weight": W}, which="all")
    restored = svd(target.scaled("intruder", 0.0))
    leading = svd(W0).U[:, :5]
    cosines = torch.linalg.svdvals(leading.mT @ restored.U[:, :5])  # of the principal angles
    assert cosines.min() > 0.99
    assert compare({"q.weight": W0}, {"q.weight": target.scaled("intruder", 0.0)}).num_intruders == 0
    # Negative controls: as tuned, the subspace is another one, and no control brings it back.
    for what, factor in (("intruder", 1.0), ("neighbour", 0.0), ("random", 0.0), ("shrunk", 0.0)):
        angles = torch.linalg.svdvals(leading.mT @ svd(target.scaled(what, factor)).U[:, :5])
        if what != "shrunk":
            assert angles.min() < 0.5, what


def test_lambda_scales_the_singular_value_and_nothing_else(rng: np.random.Generator) -> None:
    W0, W = _planted(rng)
    (target,) = targets({"q.weight": W0}, {"q.weight": W})
    before = svd(W)
    for factor in (0.5, 1.5):
        after = svd(target.scaled("intruder", factor))
        expected = before.s.clone()
        expected[0] *= factor
        torch.testing.assert_close(after.s, expected.sort(descending=True).values, atol=1e-3, rtol=1e-4)
    assert target.scaled("intruder", 1.0) is W or torch.equal(target.scaled("intruder", 1.0), W)


def test_which_top_takes_one_a_matrix_and_all_takes_all(rng: np.random.Generator) -> None:
    W0, W = _planted(rng, spikes=3)
    base, tuned = {"q.weight": W0}, {"q.weight": W}
    assert compare(base, tuned).num_intruders >= 3
    (top,), (every,) = (targets(base, tuned, which=which) for which in ("top", "all"))
    assert top.intruder.B.shape[1] == 1
    assert every.intruder.B.shape[1] == compare(base, tuned).num_intruders
    torch.testing.assert_close(top.intruder.dense(), svd(W).s[0] * torch.outer(svd(W).U[:, 0], svd(W).Vh[0]), atol=1e-3, rtol=1e-3)  # fmt: skip


def test_the_controls_are_what_they_say(rng: np.random.Generator) -> None:
    W0, W = _planted(rng)
    (target,) = targets({"q.weight": W0}, {"q.weight": W}, seed=3)
    found = svd(W)
    # The neighbour: the next singular vector, which is no intruder, scaled alike.
    expected = found.s[1] * torch.outer(found.U[:, 1], found.Vh[1])
    torch.testing.assert_close(target.neighbour.dense(), expected, atol=1e-3, rtol=1e-3)
    # The random direction: the same energy, another place each seed.
    change = target.scaled("random", 0.3) - W
    assert float(torch.linalg.vector_norm(change)) == pytest.approx(0.7 * float(found.s[0]), rel=1e-3)
    (other,) = targets({"q.weight": W0}, {"q.weight": W}, seed=4)
    assert not torch.allclose(other.random.dense(), target.random.dense())
    # The whole update shrunk to the same size as after the intervention.
    sizes = [torch.linalg.vector_norm(target.scaled(what, 0.3) - W0) for what in ("intruder", "shrunk")]
    assert float(sizes[0]) == pytest.approx(float(sizes[1]), rel=1e-4)
    shrunk = target.scaled("shrunk", 0.3) - W0
    assert torch.nn.functional.cosine_similarity(shrunk.flatten(), (W - W0).flatten(), dim=0) > 0.9999


def test_where_an_intruder_held_part_of_the_base_the_update_grows_and_so_does_its_control(
    rng: np.random.Generator,
) -> None:
    U, V = (torch.from_numpy(orthogonal(rng, 24)).float() for _ in range(2))
    W0 = (U * torch.linspace(5, 1, 24)) @ V.mT
    W = W0 + torch.outer((U[:, 0] + U[:, 1] + U[:, 2]), V[:, 0])  # its first vector leans on three of the base's
    (target,) = targets({"q.weight": W0}, {"q.weight": W}, epsilon=0.98)
    sizes = {what: torch.linalg.vector_norm(target.scaled(what, 0.0) - W0) for what in ("intruder", "shrunk")}
    assert float(sizes["shrunk"]) == pytest.approx(float(sizes["intruder"]), rel=1e-4)
    assert sizes["shrunk"] > torch.linalg.vector_norm(W - W0)


def test_neighbours_may_stand_beyond_the_vectors_that_are_examined(rng: np.random.Generator) -> None:
    W0, W = _planted(rng, spikes=3)  # the three leading vectors are the intruders
    (target,) = targets({"q.weight": W0}, {"q.weight": W}, k=3, which="all")
    assert target.num_vectors("intruder") == target.num_vectors("neighbour") == target.num_vectors("random") == 3
    found = svd(W)
    expected = (found.U[:, 3:6] * found.s[3:6]) @ found.Vh[3:6]
    torch.testing.assert_close(target.neighbour.dense(), expected, atol=1e-3, rtol=1e-3)


def test_mistakes(rng: np.random.Generator) -> None:
    W0, W = _planted(rng)
    with pytest.raises(ValueError, match="which must be one of"):
        targets({"q.weight": W0}, {"q.weight": W}, which="some")
