from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import WORDS


@pytest.fixture
def text(tmp_path: Path, rng: np.random.Generator) -> Path:
    """General text: paragraphs of sentences of the words that the pico tokenizers know."""
    path = tmp_path / "general.txt"
    path.write_text("\n\n".join(". ".join(" ".join(rng.choice(WORDS, size=8)) for _ in range(4)) for _ in range(30)))
    return path


@pytest.fixture
def grid(pico: dict[str, Path]) -> dict[str, Any]:
    """A sweep of three runs on a pico encoder."""
    return {
        "base": str(pico["mlm"]),
        "task": str(pico["labelled"]),
        "max_steps": 4,
        "batch_size": 4,
        "max_length": 16,
        "learning_rate": 0.05,
        "variants": [{"method": "full"}, {"method": "lora", "rank": [1, 4]}],
    }
