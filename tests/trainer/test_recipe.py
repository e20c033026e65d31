from __future__ import annotations

from pathlib import Path

import pytest

from spectra import Recipe, RecipeError

SMALL = {"base": "b", "task": "t"}


def test_the_papers_rules_are_the_defaults() -> None:
    lora = Recipe(**SMALL, rank=8)
    assert lora.method == "lora"
    assert lora.lora_alpha == 16
    assert lora.rate * lora.lora_alpha == pytest.approx(2.4e-3)
    assert Recipe(**SMALL, rank=64).rate * 128 == pytest.approx(2.4e-3)
    assert Recipe(**SMALL, method="full").rate == 1e-5
    assert (lora.batch_size, lora.epochs, lora.warmup_ratio) == (16, 5.0, 0.06)
    assert Recipe(**SMALL, alpha=8, learning_rate=1e-4).rate == 1e-4
    assert Recipe(**SMALL, alpha=8).lora_alpha == 8


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_on_disk_and_back(tmp_path: Path, suffix: str) -> None:
    recipe = Recipe(**SMALL, rank=4, text_fields=("a", "b"), alpha=3.5, max_steps=7)
    recipe.save(tmp_path / f"r{suffix}")
    assert Recipe.load(tmp_path / f"r{suffix}") == recipe
    assert Recipe.load(tmp_path / f"r{suffix}", rank=2) == recipe.replace(rank=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**SMALL, "rnak": 3}, "no field 'rnak'; did you mean 'rank'"),
        ({"base": "b"}, "needs 'task'"),
        ({**SMALL, "rank": "8"}, "rank must be of type int, got '8'"),
        ({**SMALL, "rank": True}, "rank must be of type int"),
        ({**SMALL, "rank": None}, "rank must be of type int"),
        ({**SMALL, "rank": 0}, "rank must be above zero"),
        ({**SMALL, "learning_rate": -1.0}, "learning_rate must be above zero"),
        ({**SMALL, "learning_rate": float("nan")}, "learning_rate must be above zero"),
        ({**SMALL, "method": "magic"}, "'magic' is not one of full, lora"),
        ({**SMALL, "warmup_ratio": 1.0}, "warmup_ratio must lie"),
        ({**SMALL, "alpha": float("inf")}, "alpha must be above zero and at most"),
        ({**SMALL, "seed": -1}, "seed must lie in"),
        ({**SMALL, "text_fields": "sentence"}, "text_fields must be of type"),
    ],
)
def test_mistakes_are_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("{a: [", "cannot be read as YAML"), ("- 1", "is a mapping"), ("base: b", "needs 'task'")],
)
def test_unreadable_files_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load(path)
    assert "r.yaml" in str(caught.value)


def test_a_rate_written_without_a_point_is_a_number(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("base: b\ntask: t.csv\nlearning_rate: 1e-4\n")  # text, to YAML
    assert Recipe.load(tmp_path / "r.yaml").learning_rate == 1e-4
    with pytest.raises(RecipeError, match="learning_rate must be of type"):
        Recipe.from_dict({"base": "b", "task": "t.csv", "learning_rate": "fast"})
