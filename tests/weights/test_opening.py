from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch._subclasses import FakeTensorMode

from spectra import CheckpointError, open_checkpoint
from spectra.weights import Adapter, Checkpoint, matrices
from tests.failing import READS, each_failure
from tests.oracles import pico_model, pico_state

STATE = pico_state()


def _same_as_state(checkpoint: Checkpoint | Adapter) -> None:
    assert isinstance(checkpoint, Checkpoint)
    assert set(checkpoint.tensors) == set(STATE)
    for name, tensor in STATE.items():
        torch.testing.assert_close(checkpoint.tensors[name].load(None), tensor)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    for source in (path, str(path)):
        _same_as_state(open_checkpoint(source))
    assert open_checkpoint(path).files == (path,)


def _shard(directory: Path, state: dict[str, torch.Tensor], shards: int, *, suffix: str = ".safetensors") -> None:
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    weight_map = {}
    for i in range(shards):
        part = {name: tensor for j, (name, tensor) in enumerate(state.items()) if j % shards == i}
        file = f"{stem}-{i + 1:05d}-of-{shards:05d}{suffix}"
        save_file(part, directory / file) if suffix == ".safetensors" else torch.save(part, directory / file)
        weight_map |= dict.fromkeys(part, file)
    (directory / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_by_directory_and_by_index(tmp_path: Path, suffix: str) -> None:
    _shard(tmp_path, STATE, 3, suffix=suffix)
    _same_as_state(open_checkpoint(tmp_path))
    (index,) = tmp_path.glob("*.index.json")
    _same_as_state(open_checkpoint(index))
    assert len(open_checkpoint(tmp_path).files) == 3


def test_shards_that_look_alike_are_not_tied(tmp_path: Path) -> None:
    # One file may be mapped where the one before it was; equal addresses then mean nothing.
    _shard(tmp_path, {f"m{i}.weight": torch.ones(64, 64) for i in range(12)}, 12, suffix=".bin")
    found, skipped = matrices(open_checkpoint(tmp_path).tensors, {})
    assert (len(found), skipped) == (12, [])


def test_an_empty_shard_is_named(tmp_path: Path) -> None:
    _shard(tmp_path, STATE, 2)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors: the file is empty"):
        open_checkpoint(tmp_path)


def test_loose_files_in_a_directory_are_one_checkpoint(tmp_path: Path) -> None:
    names = list(STATE)
    save_file({n: STATE[n] for n in names[:2]}, tmp_path / "a.safetensors")
    save_file({n: STATE[n] for n in names[2:]}, tmp_path / "b.safetensors")
    _same_as_state(open_checkpoint(tmp_path))
    save_file({names[0]: STATE[names[0]]}, tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match=r"is in .*c\.safetensors.* and .*a\.safetensors.*; pass one file"):
        open_checkpoint(tmp_path)


def test_what_a_trainer_leaves_beside_the_weights_is_passed_over(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "pytorch_model_fsdp.bin")
    torch.save({"lr": Path("x")}, tmp_path / "training_args.bin")
    torch.save({"state": {0: torch.ones(2, 2)}}, tmp_path / "optimizer.pt")
    torch.save({"cpu": torch.ones(2, 2)}, tmp_path / "rng_state_0.pth")
    _same_as_state(open_checkpoint(tmp_path))


def test_a_merged_model_with_the_adapters_config_left_behind(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    _write(tmp_path / "adapter_config.json", '{"peft_type": "LORA"}')
    _same_as_state(open_checkpoint(tmp_path))


def test_a_lone_file_in_any_case_and_company(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "X.SafeTensors")
    _write(tmp_path / "config.json", "// not json")
    _same_as_state(open_checkpoint(tmp_path / "X.SafeTensors"))


def test_safetensors_are_preferred_to_pickles(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"junk")
    _same_as_state(open_checkpoint(tmp_path))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_a_transformers_directory_with_its_config(tmp_path: Path, kind: str) -> None:
    model = pico_model(kind)
    model.save_pretrained(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config["model_type"] == kind
    # The config is found beside a single file, too.
    assert open_checkpoint(tmp_path / "model.safetensors").config["model_type"] == kind


def test_state_dicts_and_modules() -> None:
    _same_as_state(open_checkpoint(STATE))
    model = pico_model("bert")
    checkpoint = open_checkpoint(model)
    assert checkpoint.config["model_type"] == "bert"
    assert checkpoint.label == "BertModel in memory"
    assert open_checkpoint(checkpoint) is checkpoint


def test_meta_tensors_have_no_data() -> None:
    with torch.device("meta"):
        model = torch.nn.Linear(3, 3)
    with pytest.raises(CheckpointError, match="'weight' is on the meta device"):
        open_checkpoint(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "nothing.safetensors", "nothing.safetensors: no such file or directory"),
        (lambda d: d / "a" / "b" / "c", "no such file or directory"),
        (lambda d: d, "the directory holds no weights"),
        (lambda d: _write(d / "x.txt", "hello"), "not a format spectra reads"),
        (lambda d: _write(d / "config.json", "{").parent, "not valid JSON"),
        (lambda d: _write(d / "adapter_config.json", "{}").parent, "no adapter weights"),
        (lambda d: 3, "cannot open a int as a checkpoint"),
        (lambda d: {}, "holds no tensors"),
        (
            lambda d: {"module.a.weight": torch.ones(2, 2), "a.weight": torch.ones(2, 2)},
            "two tensors are called 'a.weight'",
        ),
    ],
)
def test_one_sentence_for_what_cannot_be_opened(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_a_mac_keeps_beside_a_file_is_no_shard(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.safetensors")
    (tmp_path / "._weights.safetensors").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
    _same_as_state(open_checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match=r"AppleDouble.*pass the file without '\._'"):
        open_checkpoint(tmp_path / "._weights.safetensors")


def test_hidden_folders_hold_no_adapters(tmp_path: Path) -> None:
    (tmp_path / "._mine").mkdir()
    _write(tmp_path / "._mine" / "adapter_config.json", "{}")
    with pytest.raises(CheckpointError, match="the directory holds no weights"):
        open_checkpoint(tmp_path)


def _in_the_place_of(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "config.json", "x.safetensors"]
)
def test_what_is_no_file_is_never_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    if name == "config.json":
        save_file(STATE, tmp_path / "model.safetensors")
    _in_the_place_of(kind, tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: is a (folder|pipe or a device)"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_that_is_no_file_is_never_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    _write(tmp_path / "adapter_config.json", '{"peft_type": "LORA"}')
    save_file({"q.lora_A.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / name).unlink()
    _in_the_place_of(kind, tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name}: is a (folder|pipe or a device)"):
        open_checkpoint(tmp_path)


def test_a_shard_that_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    _shard(tmp_path, STATE, 2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    os.mkfifo(tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="is a pipe or a device"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 300 + ".pt", "a\0b", "\ud800"])
def test_a_path_that_the_system_does_not_take_is_not_there(name: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(f"/{name}")


def _nested(depth: int) -> dict[str, Any]:
    inside: dict[str, Any] = {"w": torch.ones(2, 2)}
    for _ in range(depth):
        inside = {"l": inside, "r": inside}
    return inside


def test_dictionaries_in_memory_that_hold_each_other(tmp_path: Path) -> None:
    itself: dict[str, Any] = {"w": torch.ones(2, 2)}
    itself["self"] = itself
    for state in (itself, _nested(40), _nested(100)):
        with pytest.raises(CheckpointError, match="its dictionaries are nested without end or hold each other"):
            open_checkpoint(state)
    assert len(open_checkpoint(_nested(3)).tensors) == 8


def test_tensors_in_memory_without_plain_values_are_told() -> None:
    with FakeTensorMode():
        fake = torch.empty(3, 3)
    state = {"fake.weight": fake, "sparse.weight": torch.eye(3).to_sparse(), "plain.weight": torch.ones(3, 3)}
    opened = open_checkpoint(state)
    assert isinstance(opened, Checkpoint)
    found, skipped = matrices(opened.tensors, opened.config)
    assert [m.name for m in found] == ["plain"]
    assert {s.name: s.reason.split(" (")[0].split(";")[0] for s in skipped if s.problem} == {
        "fake": "without data of its own",
        "sparse": "a sparse tensor",
    }
    with pytest.raises(CheckpointError, match=r"sparse\.weight: a sparse tensor; save it dense"):
        opened.tensors["sparse.weight"].load(None)


@pytest.mark.parametrize("kind", ["safetensors", "bin", "adapter"])
def test_each_read_that_fails_is_one_sentence(tmp_path: Path, kind: str) -> None:
    if kind == "adapter":
        save_file(
            {"q.lora_A.weight": torch.ones(2, 2), "q.lora_B.weight": torch.ones(2, 2)},
            tmp_path / "adapter_model.safetensors",
        )
        _write(tmp_path / "adapter_config.json", '{"peft_type": "LORA", "lora_alpha": 2}')
    else:
        _shard(tmp_path, {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)}, 2, suffix=f".{kind}")
        _write(tmp_path / "config.json", '{"model_type": "llama"}')

    def read() -> None:
        opened = open_checkpoint(tmp_path)
        for stored in opened.tensors.values() if isinstance(opened, Checkpoint) else [opened.updates["q"].A]:
            stored.load(None)

    assert len(list(each_failure(READS, read, allowed=CheckpointError, error=errno.EIO))) >= 6


def test_factors_without_their_config_are_not_a_checkpoint(tmp_path: Path) -> None:
    save_file({"q.lora_A.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    _write(tmp_path / "adapter_config.json", "{}")
    with pytest.raises(CheckpointError, match="pass the directory"):
        open_checkpoint(tmp_path / "adapter_model.safetensors")


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
