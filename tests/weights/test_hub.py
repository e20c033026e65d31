"""Hub ids, against a local cache in the hub's own layout; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spectra import CheckpointError, compare, open_checkpoint
from spectra.weights.hub import looks_like_hub_id
from tests.oracles import pico_state, tuned_state
from tests.weights.test_opening import _shard

SHAS = {"main": "a" * 40, "v2": "b" * 40}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with org/model: revision main is one file, v2 is tuned and sharded."""
    import huggingface_hub.constants

    repo = tmp_path / "models--org--model"
    for revision, sha in SHAS.items():
        snapshot = repo / "snapshots" / sha
        snapshot.mkdir(parents=True)
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / revision).write_text(sha)
        (snapshot / "config.json").write_text('{"model_type": "llama"}')
    save_file(pico_state(), repo / "snapshots" / SHAS["main"] / "model.safetensors")
    _shard(repo / "snapshots" / SHAS["v2"], tuned_state(pico_state()), 2)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_ids_revisions_and_commits(hub: Path) -> None:
    base, tuned = open_checkpoint("org/model"), open_checkpoint("org/model@v2")
    assert (base.revision, tuned.revision) == (SHAS["main"], SHAS["v2"])
    assert base.config["model_type"] == "llama"
    assert len(tuned.files) == 2
    assert open_checkpoint(f"org/model@{SHAS['v2']}").revision == SHAS["v2"]
    result = compare("org/model", "org/model@v2")
    assert result.num_matrices == 4
    assert result.provenance["tuned"]["revision"] == SHAS["v2"]


@pytest.mark.parametrize("name", ["org/absent", "org/model@v3"])
def test_what_the_hub_does_not_have(hub: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name}: neither a local path nor a model") as caught:
        open_checkpoint(name)
    assert "\n" not in str(caught.value)


def test_a_local_directory_comes_before_the_hub(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    save_file({"only.weight": torch.ones(2, 2)}, tmp_path / "org" / "model" / "model.safetensors")
    assert list(open_checkpoint("org/model").tensors) == ["only.weight"]


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("org/model", True),
        ("org/model-7b.v1@refs/pr/3", True),
        ("org/model.safetensors", False),
        ("gpt2", True),
        ("a/b/c", False),
        ("./a/b", False),
        ("/a/b", False),
        ("../b", False),
    ],
)
def test_what_could_be_an_id(text: str, is_id: bool) -> None:
    assert looks_like_hub_id(text) is is_id
