from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

# Whatever is decomposed in a test stays out of the user's own cache.
os.environ["SPECTRA_CACHE"] = tempfile.mkdtemp(prefix="spectra-cache-")
atexit.register(shutil.rmtree, os.environ["SPECTRA_CACHE"], ignore_errors=True)
# Nothing in the tests may ask a hub; what loads from one is tested on directories in its format.
os.environ["HF_HUB_OFFLINE"] = "1"
# Small matrices: one thread a worker is faster than workers that compete for cores. Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
# Real models and text that lie beside a checkout on some machines; tests that need them skip elsewhere.
DATA = Path(os.environ.get("SPECTRA_DATA", REPOSITORY.parent / "shared" / "data"))


WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def encoder() -> str:
    """A real sentence encoder, MiniLM-L6."""
    from spectra.demo import base_directory

    return base_directory()


@pytest.fixture(scope="session")
def decoder() -> str:
    """A real decoder, stories15M."""
    directory = DATA / "models" / "stories15M"
    if not directory.is_dir():
        pytest.skip(f"no decoder at {directory}; set SPECTRA_DATA")
    return str(directory)


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of pico models with a tokenizer, and a classification and a language task."""
    from tests.oracles import pico_model, pico_tokenizer  # loads torch, which must find the settings above

    root = tmp_path_factory.mktemp("pico")
    for kind in ("bert", "mlm", "gpt2", "llama"):
        pico_model(kind).save_pretrained(root / kind)
        pico_tokenizer(root / kind, WORDS)
    rng = np.random.default_rng(0)
    rows = [rng.choice(WORDS, size=6).tolist() for _ in range(120)]
    with (root / "labelled.jsonl").open("w") as file:
        for row in rows:
            file.write(json.dumps({"sentence": " ".join(row), "label": int(row[0] < "w3")}) + "\n")
    (root / "text.txt").write_text("\n\n".join(" ".join(row) for row in rows))
    return {path.stem: path for path in root.iterdir()}
