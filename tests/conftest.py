from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

# Nothing in the tests may ask a hub; what loads from one is tested on directories in its format.
os.environ["HF_HUB_OFFLINE"] = "1"
# Small matrices: one thread a worker is faster than workers that compete for cores. Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
# Real models and text that lie beside a checkout on some machines; tests that need them skip elsewhere.
DATA = Path(os.environ.get("SPECTRA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


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
        pytest.skip(f"no decoder at {directory}; set SPECTRA_TEST_DATA")
    return str(directory)
