from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra import CheckpointError
from spectra.weights.shards import shard_files

ENDINGS = (".safetensors", ".bin")


def _index(tmp_path: Path, weight_map: object) -> Path:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index


def test_shards_lie_beside_their_index(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / name).touch()
    index = _index(tmp_path, {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"})
    assert shard_files(index, ENDINGS) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"x": "missing.safetensors"}, "'missing.safetensors' is missing"),
        ({"x": "../outside.safetensors"}, "does not lie beside the index"),
        ({"x": "/etc/passwd"}, "does not lie beside the index"),
        ({"x": "..\\outside.safetensors"}, "does not lie beside the index"),
        ({"x": ""}, "is no file of weights by its ending"),
        ({"x": 3}, "does not lie beside the index"),
        ({"x": {}}, "does not lie beside the index"),
        ({"x": "a\0b.safetensors"}, "is missing"),
        ({"x": "a" * 5000 + ".safetensors"}, "is missing"),
        ({"x": "config.json"}, "is no file of weights by its ending"),
        ({"x": "weights"}, "is no file of weights by its ending"),
        ({}, "not a shard index"),
        (None, "not a shard index"),
        ([], "weight_map is \\[\\], and has to be an object"),
        (3, "weight_map is 3, and has to be an object"),
    ],
)
def test_hostile_or_broken_indexes(tmp_path: Path, weight_map: object, message: str) -> None:
    (tmp_path.parent / "outside.safetensors").touch()
    with pytest.raises(CheckpointError, match=message):
        shard_files(_index(tmp_path, weight_map), ENDINGS)


def test_an_index_that_is_not_json(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        shard_files(index, ENDINGS)
