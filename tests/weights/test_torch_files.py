from __future__ import annotations

import errno
import io
import pickle
import re
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spectra import CheckpointError
from spectra.weights.layout import matrices
from spectra.weights.stored import in_memory
from spectra.weights.torch_files import open_torch
from tests.failing import READS, each_failure

STATE = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.ones(2, dtype=torch.float16))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "module", "model_state_dict"])
def test_plain_and_wrapped_old_and_new(tmp_path: Path, wrapper: str | None, legacy: bool) -> None:
    path = tmp_path / "x.pt"
    content = STATE if wrapper is None else {"epoch": 3, wrapper: STATE, "optimizer": {"lr": 0.1}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = open_torch(path)
    assert {n: (s.shape, s.dtype) for n, s in found.items()} == {
        "a": ((2, 3), torch.float32),
        "b": ((2,), torch.float16),
    }
    torch.testing.assert_close(found["a"].load(None), STATE["a"])
    torch.testing.assert_close(found["a"].load(1), STATE["a"][1])


def test_state_dicts_inside_state_dicts_are_flattened(tmp_path: Path) -> None:
    torch.save({"model": {"encoder": STATE, "head": {"w": torch.ones(2, 2)}, "step": 3}}, tmp_path / "x.pt")
    assert set(open_torch(tmp_path / "x.pt")) == {"encoder.a", "encoder.b", "head.w"}


def test_an_optimizers_moments_are_no_weights(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"generator": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "x.pt")
    assert set(open_torch(tmp_path / "x.pt")) == {"generator.weight", "generator.bias"}
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_torch(tmp_path / "optimizer.pt")


def test_tied_tensors_share_their_storage_key(tmp_path: Path) -> None:
    weight = torch.ones(4, 2)
    torch.save({"in": weight, "out": weight, "other": torch.ones(4, 2), "part": weight[:2]}, tmp_path / "x.pt")
    found = open_torch(tmp_path / "x.pt")
    assert found["in"].storage == found["out"].storage
    assert len({s.storage for s in found.values()}) == 3


class _RunsCode:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> object:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "evil.pt"
    torch.save({"a": torch.ones(2, 2), "x": _RunsCode(proof)}, path, _use_new_zipfile_serialization=not legacy)
    # Negative control: the file does run code where it is trusted.
    torch.load(path, weights_only=False)
    assert proof.exists()
    proof.unlink()
    with pytest.raises(CheckpointError, match="refused, because it holds Python objects that would run code"):
        open_torch(path)
    assert not proof.exists()


def test_a_bare_pickle_is_refused_too(tmp_path: Path) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(_RunsCode(proof)))
    with pytest.raises(CheckpointError, match=r"evil\.bin"):
        open_torch(path)
    assert not proof.exists()


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"a": torch.zeros(100, 100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pt: not a readable PyTorch file") as caught:
        open_torch(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.ones(2)], torch.ones(2), {"state_dict": {}}])
def test_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_torch(tmp_path / "x.pt")


def _saved(path: Path, content: object, *, legacy: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on kinds of tensors that it is giving up
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def _dtypes() -> list[torch.dtype]:
    return [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
            torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
            torch.bool, torch.complex64, torch.complex128]  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", _dtypes(), ids=str)
def test_every_type_is_read_as_torch_reads_it(tmp_path: Path, dtype: torch.dtype, legacy: bool) -> None:
    tensor = torch.arange(12).reshape(4, 3).to(dtype)
    found = open_torch(_saved(tmp_path / "x.pt", {"a": tensor}, legacy=legacy))["a"]
    assert (found.dtype, found.shape) == (dtype, (4, 3))
    assert torch.equal(found.load(None).view(torch.uint8), tensor.view(torch.uint8))
    assert torch.equal(found.load(2).view(torch.uint8), tensor[2].view(torch.uint8))


WHOLE = torch.arange(24.0).reshape(4, 6)
VIEWS = {
    "transposed": WHOLE.T,
    "part": WHOLE[1:3, 2:5],
    "every second": WHOLE[:, ::2],
    "one value": WHOLE[2, 3],
    "no value": WHOLE[:, :0],
    "repeated": WHOLE[:, :1].expand(4, 5),
    "parameter": torch.nn.Parameter(WHOLE),
    "with attributes": torch.nn.Parameter(WHOLE.clone()),
    "on a channel": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "with a gradient": WHOLE.clone().requires_grad_(),
}
VIEWS["with attributes"].is_head = True


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", VIEWS)
def test_every_view_is_read_as_torch_reads_it(tmp_path: Path, kind: str, legacy: bool) -> None:
    found = open_torch(_saved(tmp_path / "x.pt", {"first": torch.ones(3), "a": VIEWS[kind]}, legacy=legacy))["a"]
    assert torch.equal(found.load(None), VIEWS[kind])
    if found.shape:
        assert torch.equal(found.load(found.shape[0] - 1), VIEWS[kind][-1])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.eye(3).to_sparse(), r"a sparse tensor; save it dense \(tensor.to_dense\(\)\)"),
        (lambda: torch.eye(3).to_sparse_csr(), "a sparse tensor"),
        (lambda: torch.eye(4).to_sparse_bsr((2, 2)), "a sparse tensor"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "a nested tensor; save its parts"),
        (lambda: torch.empty(3, 3, device="meta"), "without data of its own .*; load or gather the weights"),
        (lambda: torch.quantize_per_tensor(torch.ones(3, 3), 0.1, 0, torch.qint8), "quantized by torch"),
        (
            lambda: torch.quantize_per_channel(torch.ones(3, 3), torch.ones(3), torch.zeros(3), 0, torch.quint8),
            "quantized by torch; save it dequantized",
        ),
        (lambda: (torch.ones(3, 3) + 1j).conj().imag, "its signs or conjugates still to be taken"),
        (lambda: (torch.ones(3, 3) + 1j).conj(), "its signs or conjugates still to be taken"),
    ],
)
def test_tensors_without_plain_values_are_told_and_the_others_read(
    tmp_path: Path, make: Callable[[], torch.Tensor], reason: str, legacy: bool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        odd = make()
    found = open_torch(_saved(tmp_path / "x.pt", {"odd.weight": odd, "plain.weight": WHOLE}, legacy=legacy))
    assert torch.equal(found["plain.weight"].load(None), WHOLE)
    with pytest.raises(CheckpointError, match=rf"x\.pt: odd\.weight: .*{reason}"):
        found["odd.weight"].load(None)
    ((name, why, problem),) = [(s.name, s.reason, s.problem) for s in matrices(found, {})[1]]
    assert (name, problem) == ("odd", True)
    assert re.search(reason, why)
    # The same tensor in memory is told alike.
    if not odd.is_conj() and not odd.is_neg():  # which torch resolves when it is used
        assert in_memory(odd, "x").unreadable == why


def test_weights_of_a_device_that_is_not_here(tmp_path: Path) -> None:
    content = _saved(tmp_path / "x.pt", {"a": WHOLE}).read_bytes()
    for device in (b"mps", b"hpu"):
        (tmp_path / "x.pt").write_bytes(_rewritten(content, b"cpu", device))
        assert torch.equal(open_torch(tmp_path / "x.pt")["a"].load(None), WHOLE)


def _rewritten(content: bytes, old: bytes, new: bytes) -> bytes:
    """The pickle of a zip archive changed at equal length, and no checksum of it."""
    assert content.count(old) == 1
    content = content.replace(old, new)
    archive = zipfile.ZipFile(io.BytesIO(content))
    (info,) = [member for member in archive.infolist() if member.filename.endswith("data.pkl")]
    return content.replace(info.CRC.to_bytes(4, "little"), bytes(4))


class _Pickle:
    """The instructions of a pickle, one after the other."""

    def __init__(self) -> None:
        self.code = b"\x80\x02"

    def name(self, module: str, name: str) -> _Pickle:
        self.code += f"c{module}\n{name}\n".encode()
        return self

    def text(self, text: str) -> _Pickle:
        data = text.encode()
        self.code += b"X" + len(data).to_bytes(4, "little") + data
        return self

    def number(self, number: int) -> _Pickle:
        data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
        self.code += b"\x8a" + bytes([len(data)]) + data
        return self

    def op(self, code: bytes) -> _Pickle:
        self.code += code
        return self

    def tensor(
        self, *, numel: int = 4, offset: int = 0, shape: tuple[int, ...] = (2, 2), stride: tuple[int, ...] = (2, 1)
    ) -> _Pickle:
        self.name("torch._utils", "_rebuild_tensor_v2").op(b"((").text("storage").name("torch", "FloatStorage")
        self.text("0").text("cpu").number(numel).op(b"tQ").number(offset)
        for axes in (shape, stride):
            self.op(b"(")
            for axis in axes:
                self.number(axis)
            self.op(b"t")
        return self.op(b"\x89").name("collections", "OrderedDict").op(b")RtR")


def _archive(path: Path, pickle_code: bytes, *, values: bytes = bytes(16), compress: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("x/data.pkl", pickle_code)
        archive.writestr("x/data/0", values)
    return path


def test_a_pickle_written_by_hand_is_read(tmp_path: Path) -> None:
    # The negative control of the tables below.
    values = torch.arange(4.0).numpy().tobytes()
    code = _Pickle().op(b"}").text("a").tensor().op(b"s.").code
    assert open_torch(_archive(tmp_path / "x.pt", code, values=values))["a"].load(None).tolist() == [[0, 1], [2, 3]]


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    """Its ordered dictionaries are made of pairs."""
    code = _Pickle().name("collections", "OrderedDict").op(b"(](](").text("a").tensor().op(b"eetR.").code
    assert open_torch(_archive(tmp_path / "x.pt", code))["a"].shape == (2, 2)


def test_parts_of_a_storage_in_the_old_format(tmp_path: Path) -> None:
    """Files of before 1.0 name a storage within another: where it begins and how long it is."""
    code = _Pickle().op(b"}").text("a").name("torch._utils", "_rebuild_tensor_v2").op(b"((").text("storage")
    code.name("torch", "FloatStorage").text("root").text("cpu").number(8).op(b"(").text("part").number(2).number(4)
    code.op(b"ttQ").number(1).op(b"K\x03\x85K\x01\x85\x89").name("collections", "OrderedDict").op(b")RtRs.")
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    values = (8).to_bytes(8, "little") + torch.arange(8.0).numpy().tobytes()
    content = b"".join(pickle.dumps(value, 2) for value in head) + code.code + pickle.dumps(["root"], 2) + values
    (tmp_path / "x.pt").write_bytes(content)
    found = open_torch(tmp_path / "x.pt")["a"].load(None)
    assert found.tolist() == [3, 4, 5]
    assert torch.equal(found, torch.load(tmp_path / "x.pt", weights_only=True)["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 1}, "values outside of its storage"),
        ({"offset": -1}, "no whole number"),
        ({"shape": (-2, 2)}, "its sizes are not whole numbers"),
        ({"shape": (3, 2)}, "values outside of its storage"),
        ({"stride": (-2, 1)}, "no whole number"),
        ({"stride": (2,)}, "not as many strides as axes"),
        ({"stride": (1 << 70, 1)}, "values outside of its storage"),
        ({"shape": (1 << 40, 1 << 40), "stride": (0, 0)}, "more values than can be counted"),
        ({"shape": (1,) * 40, "stride": (1,) * 40}, "40 axes"),
        ({"numel": 5, "shape": (5, 1)}, "values outside of its storage|are not all there"),
        ({"numel": 1 << 80}, "are not all there"),
        ({"numel": -4}, "no whole number"),
        ({"shape": (30000, 30000), "stride": (0, 0)}, r"its tensors would take 3600000000 bytes, and the file has \d+"),
    ],
)
def test_tensors_that_are_more_than_the_file_has(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    code = _Pickle().op(b"}").text("a").tensor(**change).op(b"s.").code
    with pytest.raises(CheckpointError, match=message) as caught:
        open_torch(_archive(tmp_path / "x.pt", code))
    assert "\n" not in str(caught.value)


def test_an_expanded_tensor_says_how_to_save_it(tmp_path: Path) -> None:
    torch.save({"small": torch.ones(3, 3), "wide": torch.randn(1).expand(30000, 30000)}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 2000
    with pytest.raises(CheckpointError, match=r"the largest is 'wide', \[30000, 30000\]\); save copies \(tensor.cont"):
        open_torch(tmp_path / "x.pt")


def _shared(depth: int) -> _Pickle:
    """A dictionary that holds one twice, which holds one twice, and so on: as many ways as 2 to the depth."""
    code = _Pickle().op(b"}").text("a").tensor().op(b"sq\x00")
    for _ in range(depth):
        code.op(b"}(").text("l").op(b"h\x00").text("r").op(b"h\x00uq\x00")
    return code.op(b".")


def _within_itself() -> _Pickle:
    return _Pickle().op(b"}q\x00").text("a").op(b"h\x00s").text("b").tensor().op(b"s.")


def _deep(depth: int) -> _Pickle:
    code = _Pickle()
    for _ in range(depth):
        code.op(b"}").text("a")
    return code.tensor().op(b"s" * depth + b".")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (_shared(40), "hold each other many times over; save model.state_dict"),
        (_shared(60), "hold each other many times over"),
        (_within_itself(), "nested without end"),
        (_deep(100), "nested without end"),
        (_deep(100_000), "nested without end"),
        (_Pickle().op(b"}").text("a" * 3000).tensor().op(b"s."), "a tensor's name has 3000 characters"),
        (_Pickle().op(b"}").number(1 << 61).tensor().op(b"s."), "a key of endless digits"),
        (_Pickle().op(b"})").tensor().op(b"s."), "a key that is no name"),
        (_Pickle().op(b"(" * 6_000_000), "more than 5000000 instructions"),
        (_Pickle().op(b"X\xff\xff\xff\xff"), "ends too early"),
        (_Pickle().op(b"}r\xff\xff\xff\xff").text("a").tensor().op(b"s."), ""),  # a place in the memo is not reserved
        (_Pickle().op(b"cbuiltins\nbytearray\n").number(10**15).op(b"\x85R."), "holds no state dict"),  # never made
        (_Pickle().op(b"ctorch\nTensor\n").number(10**15).op(b"\x85R."), "holds no state dict"),
        (_Pickle().op(b"cbuiltins\nset\n)\x81."), "holds no state dict"),
    ],
)
def test_small_files_that_would_take_all_time_or_memory(tmp_path: Path, code: _Pickle, message: str) -> None:
    path = _archive(tmp_path / "x.pt", code.code)
    if message:
        with pytest.raises(CheckpointError, match=message):
            open_torch(path)
    else:
        assert set(open_torch(path)) == {"a"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_pickle_is_not_expanded(tmp_path: Path, method: int) -> None:
    path = _archive(tmp_path / "x.pt", bytes(60_000_000), compress=method)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"its member 'x/data\.pkl' is compressed or encrypted"):
        open_torch(path)


def _two_of_one_name(path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/data.pkl", b"\x80\x02].")


def _torchscript(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/constants.pkl", b"\x80\x02).")


def _big_endian(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/byteorder", b"big")


def _other_checksum(path: Path) -> None:
    torch.save({"a": WHOLE}, path)
    path.write_bytes(path.read_bytes().replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v3", 1))


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


def _far_away(path: Path) -> None:
    """An archive whose directory says that a member begins beyond all files."""
    info = zipfile.ZipInfo("x/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"\x80\x02}.")
        info.header_offset = (1 << 63) + 5


def _before(path: Path) -> None:
    _archive(path, b"\x80\x02}.")
    content = path.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    path.write_bytes(content[: at + 16] + (1000).to_bytes(4, "little") + content[at + 20 :])


def _bare(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": [1.0, 2.0]}, protocol=2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_two_of_one_name, "two of its members have one name"),
        (_torchscript, "a TorchScript archive, which is a program"),
        (_big_endian, "its numbers are in another byte order; load it with torch.load and save it again"),
        (_other_checksum, "its pickle has another checksum"),
        (_tar, "a tar archive of PyTorch 0.1"),
        (_far_away, "not a readable PyTorch file"),
        (_before, "not a readable PyTorch file"),
        (_bare, "it does not begin as torch.save begins"),
        (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100)), "its pickle is damaged"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(100)), "its pickle is damaged"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "not a zip file"),
        (lambda path: zipfile.ZipFile(path, "w").writestr("x/y", b""), "not a"),
    ],
)
def test_archives_that_torch_save_never_writes(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        open_torch(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)


def test_an_archive_without_checksums_is_read(tmp_path: Path) -> None:
    computed = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": WHOLE}, tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(computed)
    assert torch.equal(open_torch(tmp_path / "x.pt")["a"].load(None), WHOLE)


@pytest.mark.parametrize("legacy", [False, True])
def test_each_read_that_fails_is_one_sentence(tmp_path: Path, legacy: bool) -> None:
    path = _saved(tmp_path / "x.pt", {"a": WHOLE}, legacy=legacy)
    action = lambda: open_torch(path)["a"].load(None)  # noqa: E731
    assert len(list(each_failure(READS, action, allowed=CheckpointError, error=errno.EIO))) >= 4
