from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import _TYPES, save_file

from spectra import CheckpointError
from spectra.weights.layout import matrices
from spectra.weights.safetensors_files import open_safetensors
from tests.failing import READS, each_failure


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


@pytest.mark.parametrize("code", [*_TYPES, "F8_E8M0", "F4"])
def test_every_type_is_read_as_the_library_reads_it(tmp_path: Path, code: str) -> None:
    bits = {"F4": 4, "C64": 64}.get(code) or 8 * _TYPES.get(code, torch.uint8).itemsize
    values = bytes(i % 2 if code == "BOOL" else i * 37 % 256 for i in range(24 * bits // 8))
    _write(
        tmp_path / "x.safetensors", {"a": {"dtype": code, "shape": [4, 6], "data_offsets": [0, len(values)]}}, values
    )
    stored = open_safetensors(tmp_path / "x.safetensors")["a"]
    with safe_open(tmp_path / "x.safetensors", framework="pt") as library:
        expected = library.get_tensor("a")
    assert (stored.dtype, stored.shape) == (expected.dtype, tuple(expected.shape))
    assert torch.equal(stored.load(None).view(torch.uint8), expected.view(torch.uint8))
    assert torch.equal(stored.load(2).view(torch.uint8), expected.view(torch.uint8)[2])


def test_types_that_torch_has_not_are_told_by_tensor(tmp_path: Path) -> None:
    header = {
        "a.weight": {"dtype": "F6_E2M3", "shape": [4, 4], "data_offsets": [0, 12]},
        "b.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [12, 28]},
    }
    _write(tmp_path / "x.safetensors", header, bytes(28))
    found = open_safetensors(tmp_path / "x.safetensors")
    assert [m.name for m in matrices(found, {})[0]] == ["b"]
    (skipped,) = matrices(found, {})[1]
    assert (skipped.name, skipped.problem) == ("a", True)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: a\.weight: stored as F6_E2M3, which torch cannot read"):
        found["a.weight"].load(None)


def _write(path: Path, header: object, values: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)


def _entry(**change: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": _entry(dtype="X9")}, "'a': its type 'X9' is not known"),
        ({"a": _entry(dtype=None)}, "its type 'None' is not known"),
        ({"a": _entry(dtype=["F32"])}, "is not known"),
        ({"a": _entry(shape=[3])}, "its shape and type do not fit its data_offsets"),
        ({"a": _entry(shape=[])}, "its shape and type do not fit its data_offsets"),
        ({"a": _entry(shape=[-2])}, "its sizes are not whole numbers"),
        ({"a": _entry(shape=[2.0])}, "its sizes are not whole numbers"),
        ({"a": _entry(shape=[True, 2])}, "its sizes are not whole numbers"),
        ({"a": _entry(shape="2")}, "it has no shape"),
        ({"a": _entry(shape=[1] * 40 + [2])}, "it has 41 axes"),
        ({"a": _entry(shape=[1 << 40, 1 << 40])}, "more values than can be counted"),
        ({"a": _entry(shape=[1 << 62, 0, 1 << 62], data_offsets=[0, 0])}, "more values than can be counted"),
        ({"a": _entry(data_offsets=[8, 0])}, "do not fit its data_offsets"),
        ({"a": _entry(data_offsets=[0, 8, 8])}, "not two positions"),
        ({"a": _entry(data_offsets=[-8, 0])}, "not two positions"),
        ({"a": _entry(data_offsets=[0, 8.0])}, "not two positions"),
        ({"a": _entry(data_offsets=None)}, "not two positions"),
        ({"a": _entry(data_offsets=[1 << 70, (1 << 70) + 8])}, "not two positions"),
        ({"a": _entry(data_offsets=[8, 16])}, "leave a hole or overlap at byte 0"),
        ({"a": _entry(), "b": _entry(data_offsets=[4, 12])}, "leave a hole or overlap at byte 4"),
        ({"a": _entry(), "b": _entry()}, "leave a hole or overlap at byte 0"),
        ({"a": _entry(), "b": _entry(data_offsets=[12, 20])}, "leave a hole or overlap at byte 8"),
        ({"a": _entry(shape=[1], data_offsets=[0, 4])}, "its tensors fill 4 bytes and there are 8"),
        ({"a": _entry(), "b": _entry(data_offsets=[8, 16])}, "its tensors fill 16 bytes and there are 8"),
        ({"a" * 3000: _entry()}, "a tensor's name has 3000 characters"),
        ({"a": 3}, "its entry is no JSON object"),
        ([], "its header is no JSON object"),
        (b"{" + b'"a":{' * 50_000, "nested too deep"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', "the same key twice"),
        (b'{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', "the same key twice"),
        (b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', "not a readable"),
        (b'{"a\xff":1}', "not a readable"),
    ],
)  # fmt: skip
def test_headers_are_checked_before_anything_is_read(tmp_path: Path, header: object, message: str) -> None:
    path = tmp_path / "x.safetensors"
    _write(path, header, bytes(8))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_safetensors(path)
    assert str(caught.value).startswith(f"{path}: not a readable safetensors file")
    assert "\n" not in str(caught.value)


def test_what_is_sound_is_not_refused(tmp_path: Path) -> None:
    # The negative control of the table above: as odd as the format allows.
    header = {
        "__metadata__": {"format": "pt"},
        "b": _entry(data_offsets=[8, 16]),
        "": _entry(),
        "empty": _entry(shape=[3, 0], data_offsets=[8, 8]),
        "one\nvalue": _entry(shape=[], data_offsets=[16, 20]),
    }
    _write(tmp_path / "x.safetensors", json.dumps(header).encode() + b"   ", bytes(20))
    found = open_safetensors(tmp_path / "x.safetensors")
    assert {name: s.shape for name, s in found.items()} == {"b": (2,), "": (2,), "empty": (3, 0), "one\nvalue": ()}
    assert all(torch.equal(s.load(None), torch.zeros(s.shape)) for s in found.values())
    assert found["one\nvalue"].where == f"{tmp_path}/x.safetensors: 'one\\nvalue'"


def test_each_read_that_fails_is_one_sentence(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 3)}, tmp_path / "x.safetensors")
    action = lambda: open_safetensors(tmp_path / "x.safetensors")["a"].load(None)  # noqa: E731
    assert len(list(each_failure(READS, action, allowed=CheckpointError, error=errno.EIO))) >= 4
