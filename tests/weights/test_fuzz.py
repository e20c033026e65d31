"""Every reader of weights on changed files. SPECTRA_CASES=100000 draws that many per format, at a few hundred a second."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from spectra import SpectraError, open_checkpoint
from spectra.weights.safetensors_files import open_safetensors
from spectra.weights.stored import find_state_dict
from spectra.weights.torch_files import open_torch
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


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("target", ["safetensors bytes", "safetensors header"])
def test_what_opens_is_what_the_library_reads(target: str, tmp_path: Path) -> None:
    opened = 0
    for path in Fuzz(TARGETS[target], tmp_path, seed=SEED + 1).inputs(CASES):
        try:
            found = open_safetensors(path)
        except SpectraError:
            continue  # the library takes some of these: a key that stands twice, sizes that overflow
        opened += 1
        with safe_open(path, framework="pt") as library:
            assert set(found) == set(library.keys())
            for name, stored in found.items():
                if not stored.unreadable:
                    assert torch.equal(_bits(stored.load(None)), _bits(library.get_tensor(name)))
    assert opened > CASES // 100


@pytest.mark.parametrize("target", ["zip bytes", "zip pickle"])
def test_what_opens_is_what_torch_reads(target: str, tmp_path: Path) -> None:
    opened = 0
    for path in Fuzz(TARGETS[target], tmp_path, seed=SEED + 1).inputs(CASES):
        try:
            found = open_torch(path)
            expected = torch.load(path, weights_only=True)
        except Exception:  # torch refuses in many ways
            continue
        opened += 1
        for name, tensor in find_state_dict(expected, torch.Tensor, "x").items():
            if not found[name].unreadable:
                assert torch.equal(_bits(found[name].load(None)), _bits(tensor))
    assert opened > CASES // 100
