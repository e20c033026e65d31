"""Every reader of weights on changed files. SPECTRA_CASES=100000 draws that many per format, at a few hundred a second."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

import pytest

from spectra import open_checkpoint
from tests.weights.fuzzing import ADAPTER_BASE, TARGETS, Fuzz, outcome

CASES = int(os.environ.get("SPECTRA_CASES", "250"))
SEED = int(os.environ.get("SPECTRA_SEED", "0"))


@pytest.mark.parametrize("target", TARGETS)
def test_every_changed_file_opens_or_is_one_sentence(target: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    base = open_checkpoint(ADAPTER_BASE)
    outcomes: Counter[bool] = Counter()
    for path in Fuzz(TARGETS[target], tmp_path, seed=SEED).inputs(CASES):
        try:
            outcomes[outcome(path, base) == "opened"] += 1
        except BaseException as error:
            files = [path] if path.is_file() else sorted(path.iterdir())
            kept = {file.name: file.read_bytes()[:2000] for file in files}
            raise AssertionError(f"{type(error).__name__}: {error} of {kept}") from error
    # Both happen, or the changes are too few or too many to find anything.
    assert outcomes[True] > 0
    assert outcomes[False] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10  # kB; the files have a few
