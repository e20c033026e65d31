from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spectra import CheckpointError
from spectra.weights.safetensors_files import open_safetensors, shard_names


def test_shapes_without_reading_and_values_when_asked(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(24, dtype=torch.bfloat16).reshape(4, 3, 2)}
    save_file(tensors, tmp_path / "x.safetensors")
    found = open_safetensors(tmp_path / "x.safetensors")
    assert {name: (s.shape, s.dtype) for name, s in found.items()} == {
        "a": ((2, 3), torch.float32),
        "b": ((4, 3, 2), torch.bfloat16),
    }
    torch.testing.assert_close(found["a"].load(None), tensors["a"])
    torch.testing.assert_close(found["b"].load(2), tensors["b"][2])
    assert found["a"].where.endswith("x.safetensors: a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        (b"not a header at all, but long enough to have one", "not a readable safetensors file"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "not a readable safetensors file"),  # a header of 4 exabytes
        ((2).to_bytes(8, "little") + b"{}", "holds no tensors"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_safetensors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_truncated_files_are_refused_at_once(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({"a": torch.zeros(100, 100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        open_safetensors(path)


def test_a_file_that_changes_after_opening_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(10, 10)}, path)
    stored = open_safetensors(path)["a"]
    path.write_bytes(b"gone")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: tensor 'a' cannot be read"):
        stored.load(None)


def _index(tmp_path: Path, weight_map: object) -> Path:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index


def test_shards_lie_beside_their_index(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / name).touch()
    index = _index(tmp_path, {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"})
    assert shard_names(index) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"x": "missing.safetensors"}, "'missing.safetensors' is missing"),
        ({"x": "../outside.safetensors"}, "does not lie beside the index"),
        ({"x": "/etc/passwd"}, "does not lie beside the index"),
        ({}, "is empty"),
        ([], "not a shard index"),
        (3, "not a shard index"),
    ],
)
def test_hostile_or_broken_indexes(tmp_path: Path, weight_map: object, message: str) -> None:
    (tmp_path.parent / "outside.safetensors").touch()
    with pytest.raises(CheckpointError, match=message):
        shard_names(_index(tmp_path, weight_map))


def test_an_index_that_is_not_json(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{")
    with pytest.raises(CheckpointError, match="not a shard index"):
        shard_names(index)
