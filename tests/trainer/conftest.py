from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spectra import Recipe
from tests.oracles import pico_model, pico_tokenizer

WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of pico models with a tokenizer, and a classification and a language task."""
    root = tmp_path_factory.mktemp("pico")
    for kind in ("bert", "gpt2", "llama"):
        pico_model(kind).save_pretrained(root / kind)
        pico_tokenizer(root / kind, WORDS)
    rng = np.random.default_rng(0)
    rows = [rng.choice(WORDS, size=6).tolist() for _ in range(120)]
    with (root / "labelled.jsonl").open("w") as file:
        for row in rows:
            file.write(json.dumps({"sentence": " ".join(row), "label": int(row[0] < "w3")}) + "\n")
    (root / "text.txt").write_text("\n\n".join(" ".join(row) for row in rows))
    return {path.stem: path for path in root.iterdir()}


@pytest.fixture
def recipe(pico: dict[str, Path]) -> Recipe:
    return Recipe(
        base=str(pico["bert"]), task=str(pico["labelled"]), max_steps=6, batch_size=4, max_length=16, learning_rate=1e-2
    )
