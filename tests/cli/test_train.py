from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Spectra

FAST = ("--max-steps", 2, "--batch-size", 4, "--max-length", 16)


def test_train_then_compare(spectra: Spectra, pico: dict[str, Path]) -> None:
    result = spectra(
        "train", "--base", pico["bert"], "--task", pico["labelled"], "--rank", 2, "--lr", 0.05, *FAST, "-o", "run"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert (printed["run"], printed["alpha"], printed["steps"]) == ("run", 4.0, 2)
    again = spectra("train", "--recipe", "run/recipe.yaml", "--rank", 1, "-o", "run1")
    assert json.loads(again.stdout)["alpha"] == 2.0
    assert spectra("compare", pico["bert"], "run", "run1").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--task", "t.csv"), "a recipe needs 'base'"),
        (
            ("--base", "./nowhere", "--task", "movie-reviews"),
            "./nowhere: running a model needs a transformers directory",
        ),
        (("--base", "b", "--task", "absent.csv"), "absent.csv: no such file"),
        (("--base", "b", "--task", "t", "--rank", 0), "rank must be above zero"),
        (("--recipe", "absent.yaml"), "absent.yaml: no such file"),
    ],
)
def test_bad_input(spectra: Spectra, args: tuple[object, ...], message: str) -> None:
    result = spectra("train", *args, "-o", "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
