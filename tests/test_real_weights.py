"""Real pretrained weights, really tuned: every verdict is that of the paper's own procedure."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spectra import Comparison, Recipe, compare, train
from tests.oracles import paper_max_cosines

EPSILONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
# Far more than a sensible rate: a dozen steps have to move the weights as hundreds would.
RATES = {"full": 2e-3, "lora": 3e-2, "rslora": 2e-2, "dora": 3e-2, "lora-fa": 3e-2}


def _reference(base: Path, tuned: Path) -> dict[str, torch.Tensor]:
    """The ten best cosines of every linear layer of the body, by a route that shares no code with ours."""
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    found = {}
    for name, W0 in before.items():
        inside = ".layer." in name or "layers." in name
        if inside and name.endswith(".weight") and W0.ndim == 2:
            (W,) = [tensor for other, tensor in after.items() if other == name or other.endswith(f".{name}")]
            found[name.removesuffix(".weight")] = paper_max_cosines(W0, W)
    return found


def _assert_same(result: Comparison, reference: dict[str, torch.Tensor]) -> None:
    table = result.matrices
    assert set(table["name"]) == set(reference)
    for name, lower, upper in zip(table["name"], table["max_cosine_lower"], table["max_cosine_upper"], strict=True):
        cosines = reference[name].numpy()
        assert (np.array(lower) <= cosines + 1e-3).all(), name
        assert (cosines <= np.array(upper) + 1e-3).all(), name
        for epsilon in result.epsilons:
            assert sum(c < epsilon for c in upper) == int((cosines < epsilon).sum()), (name, epsilon)
            assert sum(c < epsilon for c in lower) == int((cosines < epsilon).sum()), (name, epsilon)


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decomposition found in the cache would decide everything."""
    monkeypatch.setenv("SPECTRA_CACHE", str(tmp_path / "cache"))


def _check(base: str, recipe: Recipe, tmp_path: Path, auto_class: str) -> None:
    import peft
    import transformers

    run = train(recipe, tmp_path / recipe.method)
    tuned, merged = [run.path], run.path
    if recipe.method != "full":
        model = getattr(transformers, auto_class).from_pretrained(base)
        merged = tmp_path / "merged"
        peft.PeftModel.from_pretrained(model, run.path).merge_and_unload().save_pretrained(merged)
        tuned.append(merged)
    reference = _reference(Path(base), merged)
    certified = compare(base, tuned, method="certified", epsilon=(0.5, 0.3, 0.8))
    exact = compare(base, tuned, method="exact", epsilon=EPSILONS)
    for result in (*exact, *certified):
        _assert_same(result, reference)
    for result in exact:
        for found, cosines in zip(result.matrices["max_cosine"], reference.values(), strict=True):
            np.testing.assert_allclose(found, cosines, atol=1e-3)
    assert all((c.matrices["method"] == "certified").any() for c in certified)
    if recipe.method == "full":
        return
    assert exact[0].count(0.5) == exact[1].count(0.5) == certified[0].num_intruders > 0
    columns = ["num_intruders", "effective_rank", "relative_delta", "intruder_energy_share"]
    one, two = (r.matrices[columns].astype(float) for r in exact)
    np.testing.assert_allclose(one, two, rtol=5e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "dora", "lora-fa"])
def test_encoder(encoder: str, tmp_path: Path, method: str) -> None:
    recipe = Recipe(base=encoder, task="movie-reviews", method=method, rank=2, learning_rate=RATES[method], max_steps=12,
                    num_examples=192, max_length=16, resume_points=0)  # fmt: skip
    _check(encoder, recipe, tmp_path, "AutoModelForSequenceClassification")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "rslora"])
def test_decoder(decoder: str, tmp_path: Path, method: str) -> None:
    text = tmp_path / "manual.txt"
    text.write_text("\n\n".join(topics[name] for name in sorted(topics)[:12]))
    recipe = Recipe(base=decoder, task=str(text), method=method, rank=2, learning_rate=RATES[method], max_steps=12,
                    batch_size=4, max_length=32, resume_points=0)  # fmt: skip
    _check(decoder, recipe, tmp_path, "AutoModelForCausalLM")
