from __future__ import annotations

from pathlib import Path

import pytest

from spectra import Recipe


@pytest.fixture
def recipe(pico: dict[str, Path]) -> Recipe:
    return Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), max_steps=6, batch_size=4, max_length=16, learning_rate=1e-2
    )
