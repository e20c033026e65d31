from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spectra import Recipe, SpectraError, compare, intervene, open_checkpoint, train
from spectra.linalg import svd
from spectra.studies.intervention import TARGETS, targets
from spectra.studies.probing import TaskModel
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


@pytest.fixture(scope="module")
def tuned(pico: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    recipe = Recipe(
        base=str(pico["mlm"]), task=str(pico["labelled"]), rank=1, max_steps=30, batch_size=8, max_length=16,
        learning_rate=0.2,
    )  # fmt: skip
    return str(pico["mlm"]), train(recipe, tmp_path_factory.mktemp("intervene") / "run").path


FAST: dict[str, Any] = {"num_sequences": 6, "length": 12, "k": 4, "epsilon": 0.9}


def test_every_point_has_its_controls_and_lambda_one_is_the_tuned_model(tuned: tuple[str, Path], text: Path) -> None:
    base, run = tuned
    study = intervene(base, run, [0.0, 0.5, 1.5], text=text, **FAST)
    table = study.table.set_index(["target", "lambda"])
    assert set(table.index) == {(what, factor) for what in TARGETS for factor in (0.0, 0.5, 1.0, 1.5)}
    from spectra import forgetting

    expected = forgetting(base, run, text, num_sequences=6, length=12).table.iloc[1]
    for what in TARGETS:
        row = table.loc[(what, 1.0)]
        assert row["forgetting"] == pytest.approx(expected["rise"], abs=1e-6)
        assert row["percent_accuracy_lost"] == 0.0
        assert row["percent_bought_back"] == 0.0 or np.isnan(row["percent_bought_back"])
    assert table.loc[("intruder", 0.0), "forgetting"] != table.loc[("random", 0.0), "forgetting"]


def test_lambda_one_changes_no_logit(tuned: tuple[str, Path]) -> None:
    base, run = tuned
    recipe = Recipe.load(run / "recipe.yaml")
    from spectra.studies.intervention import _Putting

    opened = open_checkpoint(run)
    ids = torch.arange(5, 15)[None]
    model = TaskModel(base, recipe, opened).model.eval()
    with torch.no_grad():
        before = model(input_ids=ids).logits
        found = targets(base, run, k=4, epsilon=0.9)
        put = _Putting(model, base)
        put({one.name: one.scaled("intruder", 1.0) for one in found})
        torch.testing.assert_close(model(input_ids=ids).logits, before, atol=1e-6, rtol=1e-6)
        put({one.name: one.scaled("intruder", 0.0) for one in found})  # negative control
        assert not torch.allclose(model(input_ids=ids).logits, before, atol=1e-6)


def test_accuracy_is_the_runs_own_at_lambda_one(tuned: tuple[str, Path]) -> None:
    from spectra import Run

    base, run = tuned
    study = intervene(base, run, [0.0], **FAST)
    at_one = study.table[study.table["lambda"] == 1.0]
    assert set(at_one["accuracy"]) == {Run.open(run).metrics["accuracy"]}


def test_mistakes(tuned: tuple[str, Path], tmp_path: Path, text: Path) -> None:
    base, run = tuned
    with pytest.raises(SpectraError, match=r"no intruder dimensions at epsilon 0\.01"):
        intervene(base, run, text=text, epsilon=0.01)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    with pytest.raises(SpectraError, match="nothing to measure"):
        intervene(base, tmp_path)
    with pytest.raises(ValueError, match="which must be one of"):
        targets(base, run, which="some")
    weights = {n: t for n, t in open_tensors(run).items() if "classifier" not in n}
    save_file(weights, tmp_path / "adapter_model.safetensors")
    with pytest.raises(SpectraError, match="has no trained classifier"):
        intervene(base, tmp_path, recipe=Recipe.load(run / "recipe.yaml"), **FAST)


def open_tensors(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run / "adapter_model.safetensors")


def test_a_share_of_no_forgetting_is_not_stated() -> None:
    from spectra.studies.intervention import _relative

    none = {"forgetting": -0.01, "forgetting_standard_error": 0.01}
    some = {"forgetting": 0.5, "forgetting_standard_error": 0.01}
    assert np.isnan(_relative({"forgetting": 0.02}, none)["percent_bought_back"])
    assert _relative({"forgetting": 0.1}, some)["percent_bought_back"] == pytest.approx(80)
