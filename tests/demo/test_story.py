from __future__ import annotations

import base64
import re
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from click.testing import CliRunner

import spectra.demo.story
from cli import main
from spectra import read_comparisons
from spectra.demo import Story, demo_recipes
from spectra.demo.page import page


@pytest.mark.slow
def test_the_demo_end_to_end_with_two_steps_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {name: recipe.replace(max_steps=2, num_examples=32, epochs=5.0) for name, recipe in demo_recipes().items()}
    assert [(r.method, r.rank) for r in short.values()] == [("full", 1), ("lora", 1), ("lora", 8), ("lora", 64)]
    monkeypatch.setattr(spectra.demo.story, "demo_recipes", lambda: short)
    out = tmp_path / "demo"
    result = CliRunner().invoke(main, ["demo", "-o", str(out), "--quiet"])
    assert (result.exit_code, result.stderr) == (0, "")
    found = read_comparisons(out / "comparison.json")
    assert [r.num_matrices for r in found] == [36] * 4
    assert len(list((out / "figures").glob("*.svg"))) == 6
    # Two gentle steps plant nothing, and the page says so instead of repeating the paper.
    assert sum(r.num_intruders for r in found) == 0
    assert "did not show" in result.stdout
    text = (out / "index.html").read_text()
    assert "did not show" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text)
    assert len(pictures) == 6
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)
    # Finished runs are kept.
    monkeypatch.setattr("spectra.trainer.training._train", lambda *args: pytest.fail("trained twice"))
    assert CliRunner().invoke(main, ["demo", "-o", str(out), "--quiet"]).exit_code == 0


def told(accuracies: dict[str, float], intruders: dict[str, int]) -> str:
    """What the demo says of runs with these numbers, 1,500 reviews each."""
    columns = {"standard_error": 0.0105, "effective_rank": 1.0, "relative_delta": 0.05}
    columns |= {"intruders_at_0.8": 9, "new_at_0.8": 2}
    rows = [{"run": run, "accuracy": accuracies[run], "intruders": intruders[run], **columns} for run in accuracies]
    story = mock.Mock(spec=Story, table=pd.DataFrame(rows))
    return " ".join(Story.findings(story))


def test_what_was_not_shown_is_not_said() -> None:
    planted = {"full": 0, "lora-r1": 3, "lora-r8": 0}
    text = told({"full": 0.800, "lora-r1": 0.775, "lora-r8": 0.79}, planted)
    assert "lora-r1 differs most from full tuning: by -0.025 ± 0.015" in text
    assert "neither a difference nor that there is none" in text
    assert "equally good" not in text
    assert "lora-r1 planted leading directions that are close to no single pretrained one" in text
    assert "Of the 18 leading directions that LoRA turned away" in text
    assert "4 are mostly new" in text
    assert "What a model forgot does not follow from such a count" in text
    assert "more than chance explains" in told({"full": 0.80, "lora-r1": 0.76, "lora-r8": 0.79}, planted)
    assert "did not show" in told({"full": 0.80, "lora-r1": 0.76}, {"full": 1, "lora-r1": 3})


def test_without_its_packages_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo")])
    assert result.exit_code == 2
    assert "pip install 'spectra-weights[demo]'" in result.stderr


def test_the_page_escapes_what_it_is_told() -> None:
    table = pd.DataFrame([{"run": "<x>", "learning_rate": 1e-4, "accuracy": 0.5, "standard_error": 0.01, "intruders": 1,
                           "effective_rank": 1.0, "relative_delta": 0.1, "seconds": 3.0}])  # fmt: skip
    text = page(table, ["a < b"], [])
    assert "&lt;x&gt;" in text
    assert "a &lt; b" in text
