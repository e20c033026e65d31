"""Peak memory of `compare` on sharded checkpoints: that of one matrix, however many shards there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

SIZE = 512  # a matrix is 1 MB, a shard of eight 8 MB
MEASURE = """
import resource, sys
sys.path.insert(0, {root!r})
from spectra import compare
result = compare({base!r}, {tuned!r}, include=['m[01]$'])
assert result.num_matrices == {count}, result.num_matrices
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _write(directory: Path, shards: int, suffix: str, *, shift: float) -> None:
    directory.mkdir()
    generator = torch.Generator().manual_seed(0)
    weight_map = {}
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    for i in range(shards):
        part = {
            f"layers.{i}.m{j}.weight": torch.randn(SIZE, SIZE, generator=generator) + shift * torch.eye(SIZE)
            for j in range(8)
        }
        file = f"{stem}-{i}{suffix}"
        save_file(part, directory / file) if suffix == ".safetensors" else torch.save(part, directory / file)
        weight_map |= dict.fromkeys(part, file)
    (directory / f"{stem}{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _peak(base: Path, tuned: Path, count: int) -> float:
    """MB of a fresh process that compares two matrices a shard (the decompositions take the time, not the reading)."""
    root = str(Path(__file__).resolve().parents[1])
    code = MEASURE.format(root=root, base=str(base), tuned=str(tuned), count=count)
    return float(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_does_not_grow_with_the_number_of_shards(tmp_path: Path, suffix: str) -> None:
    peaks = {}
    for shards in (2, 12):
        base, tuned = tmp_path / f"base{shards}", tmp_path / f"tuned{shards}"
        _write(base, shards, suffix, shift=0.0)
        _write(tuned, shards, suffix, shift=0.5)
        peaks[shards] = _peak(base, tuned, 2 * shards)
    # Ten more shards on both sides are 160 MB, of which 40 are read.
    assert peaks[12] - peaks[2] < 14, peaks
