"""Pickles that run code where they are trusted, by the ways that were published to get past lists of what is dangerous.

Each is first given to ``pickle.loads``, which runs it; then to spectra, which refuses it in a sentence and runs nothing.
The lists were picklescan's, fickling's and modelscan's: GHSA-v7x6-rv5q-mhwc (timeit), -xp4f-hrf8-rxw7 (ensurepip),
-m273-6v24-x4m4 (operator), -46h3-79wf-xr6c (profilers), -84r2-jw7c-4r5q (a pickle in a pickle), -vqmv-47xg-9wpr (pip),
-r8g5-cgf2-4m4m (idlelib), -vvpj-8cmc-gx39 (pkgutil), -565g-hwwr-4pp3 (marshal), -9gvj-pp9x-gcfr (broken streams), and more.
"""

from __future__ import annotations

import io
import marshal
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from spectra import CheckpointError, open_checkpoint
from spectra.weights.torch_files import open_torch


class Name(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    of: Name | Call
    arguments: tuple[object, ...]


def _code(value: object) -> bytes:
    """The instructions for a value, a name or a call."""
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return _code(value.of) + _code(tuple(value.arguments)) + b"R"
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_code, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_code, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_code(key) + _code(inner) for key, inner in value.items()) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def _pickled(value: object) -> bytes:
    return b"\x80\x04" + _code(value) + b"."


def _mkdir(marker: Path) -> Call:
    return Call(Name("os", "mkdir"), (str(marker),))


def _python(marker: Path) -> str:
    return f"import os; os.mkdir({str(marker)!r})"


def _script(marker: Path) -> str:
    path = marker.parent / "script.py"
    path.write_text(_python(marker))
    return str(path)


# What each way calls, and with what; all make the marker. No list had them all, and some had none of them.
CALLS: dict[str, Callable[[Path], Call]] = {
    "os": _mkdir,
    "posix": lambda m: Call(Name("posix", "system"), (f"touch {m}",)),
    "subprocess": lambda m: Call(Name("subprocess", "check_call"), (["touch", str(m)],)),
    "exec": lambda m: Call(Name("builtins", "exec"), (_python(m),)),
    "open": lambda m: Call(Name("builtins", "open"), (str(m), "w")),
    "FileIO": lambda m: Call(Name("_io", "FileIO"), (str(m), "w")),
    "a chain of getattr": lambda m: Call(
        Call(Name("builtins", "getattr"), (Call(Name("builtins", "__import__"), ("os",)), "mkdir")), (str(m),)
    ),
    "a dictionary of builtins": lambda m: Call(
        Call(Name("builtins", "dict.get"), (Name("numpy", "__builtins__"), "exec")), (_python(m),)
    ),
    "importlib": lambda m: Call(
        Call(Name("builtins", "getattr"), (Call(Name("importlib", "import_module"), ("os",)), "mkdir")), (str(m),)
    ),
    "pkgutil": lambda m: Call(Call(Name("pkgutil", "resolve_name"), ("os:mkdir",)), (str(m),)),
    "attrgetter": lambda m: Call(
        Call(Call(Name("operator", "attrgetter"), ("mkdir",)), (Call(Name("builtins", "__import__"), ("os",)),)),
        (str(m),),
    ),
    "methodcaller": lambda m: Call(
        Call(Name("operator", "methodcaller"), ("mkdir", str(m))), (Call(Name("builtins", "__import__"), ("os",)),)
    ),
    "_operator": lambda m: Call(
        Call(Name("_operator", "methodcaller"), ("mkdir", str(m))), (Call(Name("builtins", "__import__"), ("os",)),)
    ),
    "functools.partial": lambda m: Call(Call(Name("functools", "partial"), (Name("os", "mkdir"), str(m))), ()),
    "functools.reduce": lambda m: Call(Name("functools", "reduce"), (Name("builtins", "open"), ["w"], str(m))),
    "map": lambda m: Call(
        Name("builtins", "list"), (Call(Name("builtins", "map"), (Name("os", "mkdir"), [str(m)])),)
    ),
    "marshal": lambda m: Call(
        Name("builtins", "exec"), (Call(Name("marshal", "loads"), (marshal.dumps(compile(_python(m), "", "exec")),)),)
    ),
    "types.FunctionType": lambda m: Call(
        Call(
            Name("types", "FunctionType"),
            (Call(Name("marshal", "loads"), (marshal.dumps(compile(_python(m), "", "exec")),)), {}),
        ),
        (),
    ),
    "a pickle in a pickle": lambda m: Call(Name("pickle", "loads"), (_pickled(_mkdir(m)),)),
    "a pickle in a pickle, in C": lambda m: Call(Name("_pickle", "loads"), (_pickled(_mkdir(m)),)),
    "timeit": lambda m: Call(Name("timeit", "timeit"), (_python(m), "pass", Name("time", "perf_counter"), 1)),
    "cProfile": lambda m: Call(Name("cProfile", "run"), (_python(m), str(m.parent / "profile"))),
    "profile": lambda m: Call(Name("profile", "run"), (_python(m), str(m.parent / "profile"))),
    "bdb": lambda m: Call(
        Call(Name("builtins", "getattr"), (Call(Name("bdb", "Bdb"), ()), "run")), (_python(m), {})
    ),
    "trace": lambda m: Call(
        Call(Name("builtins", "getattr"), (Call(Name("trace", "Trace"), (0, 0)), "run")), (_python(m),)
    ),
    "runpy": lambda m: Call(Name("runpy", "run_path"), (_script(m),)),
    "code": lambda m: Call(
        Call(Name("builtins", "getattr"), (Call(Name("code", "InteractiveInterpreter"), ()), "runsource")), (_python(m),)
    ),
    "pty": lambda m: Call(Name("pty", "os.mkdir"), (str(m),)),
    "shutil": lambda m: Call(Name("shutil", "copy"), (__file__, str(m))),
    "tempfile": lambda m: Call(Name("tempfile", "_os.mkdir"), (str(m),)),
    "logging": lambda m: Call(Name("logging", "FileHandler"), (str(m),)),
    "sqlite3": lambda m: Call(Name("sqlite3", "connect"), (str(m),)),
    "zipfile": lambda m: Call(Name("zipfile", "ZipFile"), (str(m), "w")),
    "pydoc": lambda m: Call(Name("pydoc", "os.mkdir"), (str(m),)),
    "doctest": lambda m: Call(Name("doctest", "pdb.os.mkdir"), (str(m),)),
    "idlelib": lambda m: Call(Name("idlelib.rpc", "os.mkdir"), (str(m),)),
    "ensurepip": lambda m: Call(Name("ensurepip", "os.mkdir"), (str(m),)),
    "venv": lambda m: Call(Name("venv", "os.mkdir"), (str(m),)),
    "asyncio": lambda m: Call(Name("asyncio.unix_events", "os.mkdir"), (str(m),)),
    "ctypes": lambda m: Call(Name("ctypes", "_os.mkdir"), (str(m),)),
    "webbrowser": lambda m: Call(Name("webbrowser", "os.mkdir"), (str(m),)),
    "multiprocessing": lambda m: Call(Name("multiprocessing.util", "os.mkdir"), (str(m),)),
    "numpy.f2py": lambda m: Call(
        Name("numpy.f2py.crackfortran", "myeval"), (f"__import__('os').mkdir({str(m)!r}) or 1", {}, {})
    ),
    "numpy.testing": lambda m: Call(Name("numpy.testing", "runstring"), (_python(m), {})),
    "numpy.load": lambda m: Call(Name("numpy", "load"), (_evil_npy(m), None, True)),
    "torch's own modules": lambda m: Call(Name("torch._utils", "os.mkdir"), (str(m),)),
    "torch.save": lambda m: Call(Name("torch", "save"), ({}, str(m))),
    "torch.load": lambda m: Call(
        Name("torch.serialization", "_legacy_load"), (Call(Name("builtins", "open"), (_evil_old(m), "rb")), None, Name("torch.serialization", "pickle"))
    ),
    "torch.hub": lambda m: Call(Name("torch.hub", "os.mkdir"), (str(m),)),
    "torch.utils.collect_env": lambda m: Call(Name("torch.utils.collect_env", "run"), (f"touch {m}",)),
    "torch._dynamo": lambda m: Call(Name("torch._dynamo.utils", "os.mkdir"), (str(m),)),
    "torch's rebuild of a type": lambda m: Call(
        Name("torch._tensor", "_rebuild_from_type_v2"), (Name("os", "mkdir"), Name("torch", "Tensor"), (str(m),), {})
    ),
}  # fmt: skip


def _evil_npy(marker: Path) -> str:
    import numpy as np

    path = marker.parent / "x.npy"
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    path.write_bytes(np.lib.format.magic(1, 0) + struct.pack("<H", len(header)) + header + _pickled(_mkdir(marker)))
    return str(path)


def _evil_old(marker: Path) -> str:
    path = marker.parent / "inner.bin"
    path.write_bytes(_pickled(_mkdir(marker)))
    return str(path)


def _raw(*parts: object) -> bytes:
    return b"".join(part if isinstance(part, bytes) else _code(part) for part in parts)


# The same call said with other instructions, or where a reader of instructions loses its way.
STREAMS: dict[str, Callable[[Path], bytes]] = {
    "protocol 0": lambda m: f"cos\nmkdir\n(S{str(m)!r}\ntR.".encode(),
    "INST": lambda m: f"(S{str(m)!r}\nios\nmkdir\n.".encode(),
    "OBJ": lambda m: f"(cos\nmkdir\nS{str(m)!r}\no.".encode(),
    "STACK_GLOBAL": lambda m: b"\x80\x04" + _raw("os", "mkdir") + b"\x93" + _raw((str(m),)) + b"R.",
    "STACK_GLOBAL from a memo of two kinds": lambda m: b"\x80\x04"
    + _raw("os", b"q\x00", "mkdir", b"q\x01", "torch._utils", b"\x94", "_rebuild_tensor_v2", b"\x94")
    + b"0000h\x00h\x01\x93" + _raw((str(m),)) + b"R.",
    "a memo that is overwritten": lambda m: _raw(b"\x80\x02", Name("collections", "OrderedDict"), b"q\x010", Name("os", "mkdir"), b"q\x010h\x01", (str(m),), b"R."),
    "NEWOBJ": lambda m: b"\x80\x02" + _raw(Name("_io", "FileIO"), (str(m), "w")) + b"R.",
    "NEWOBJ_EX": lambda m: b"\x80\x04" + _raw(Name("_io", "FileIO"), (), {}, b"\x920", _mkdir(m)) + b".",
    "a state that is set": lambda m: b"\x80\x02" + _raw(Call(Name("functools", "partial"), (Name("builtins", "print"),)))
    + _raw((Name("os", "mkdir"), (str(m),), {}, {})) + b"b" + _raw(()) + b"R.",
    "frames": lambda m: b"\x80\x04\x95" + struct.pack("<Q", len(_code(_mkdir(m))) + 1) + _code(_mkdir(m)) + b".",
    "after a sound dictionary": lambda m: _raw(b"\x80\x02}", "a", 1, b"s0", _mkdir(m), b"."),
    "broken after the call": lambda m: _raw(b"\x80\x02", _mkdir(m), b"\xff\xff."),
    "without an end": lambda m: _raw(b"\x80\x02", _mkdir(m)),
    "bytes that are no UTF-8": lambda m: _raw(b"\x80\x02C\x02\xff\xfe0", _mkdir(m), b"."),
    "a name of Python 2": lambda m: _raw(b"\x80\x02", Call(Name("__builtin__", "exec"), (_python(m),)), b"."),
    "as a key": lambda m: _raw(b"\x80\x02}", _mkdir(m), 1, b"s."),
    "under an allowed name": lambda m: _raw(b"\x80\x02", Name("os", "mkdir"), b"q\x00", Name("collections", "OrderedDict"), b")R0h\x00", (str(m),), b"R."),
}  # fmt: skip


def _refused(path: Path, marker: Path) -> str:
    with pytest.raises(CheckpointError, match=path.name) as caught:
        open_checkpoint(path)
    assert not marker.exists()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def _runs(code: bytes, marker: Path) -> None:
    """The negative control: whoever trusts the pickle runs it."""
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        pickle.loads(code)
    assert marker.exists()
    marker.rmdir() if marker.is_dir() else marker.unlink()


def _inside(code: bytes, kind: str, path: Path) -> Path:
    """The pickle in each place of a file where torch reads one."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", code)
        return path
    magic, version, system = (
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    places = {
        "bare": code,
        "old, first": code + version + system,
        "old, system": magic + version + code,
        "old, weights": magic + version + system + code,
        "old, storages": magic + version + system + pickle.dumps({}, 2) + code,
    }
    path.write_bytes(places[kind])
    return path


PLACES = ("bare", "zip", "old, first", "old, system", "old, weights", "old, storages")


# To import torch._dynamo takes seconds.
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow) if "dynamo" in way else way for way in CALLS]
)
def test_no_call_is_made(tmp_path: Path, way: str) -> None:
    marker = tmp_path / "it-ran"
    code = _pickled(CALLS[way](marker))
    _runs(code, marker)
    for place in ("zip", "old, weights"):
        message = _refused(_inside(code, place, tmp_path / "x.pt"), marker)
        assert "refused, because it holds Python objects that would run code" in message or "damaged" in message


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stream", STREAMS)
def test_no_stream_is_run(tmp_path: Path, stream: str, place: str) -> None:
    marker = tmp_path / "it-ran"
    code = STREAMS[stream](marker)
    _runs(code, marker)
    _refused(_inside(code, place, tmp_path / "x.bin"), marker)


def _encrypted(path: Path, code: bytes) -> None:
    _inside(code, "zip", path)
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    path.write_bytes(content)


def _wrong_checksum(path: Path, code: bytes) -> None:
    _inside(code, "zip", path)
    content = path.read_bytes()
    checksum = zipfile.ZipFile(path).infolist()[0].CRC.to_bytes(4, "little")
    path.write_bytes(content.replace(checksum, b"\x01\x02\x03\x04"))


def _two_members(path: Path, code: bytes) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("x/data.pkl", pickle.dumps({}, 2))
        archive.writestr("x/data.pkl", code)


def _zip_in_zip(path: Path, code: bytes) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x/data.pkl", code)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", inner.getvalue())


def _other_name(path: Path, code: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}, 2))
        archive.writestr("x/data.pkl.bak", code)
        archive.writestr("other/data.pkl", code)


def _torchscript(path: Path, code: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", code)
        archive.writestr("x/data.pkl", code)


def _tar(path: Path, code: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(code)
            archive.addfile(member, io.BytesIO(code))


def _deflated(path: Path, code: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", code)


def _zip_after_pickle(path: Path, code: bytes) -> None:
    archive = io.BytesIO()
    torch.save({"a": torch.ones(2, 2)}, archive)
    path.write_bytes(code + archive.getvalue())


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pth", ".ckpt", ".safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        _encrypted,
        _wrong_checksum,
        _two_members,
        _zip_in_zip,
        _other_name,
        _torchscript,
        _tar,
        _deflated,
        _zip_after_pickle,
    ],
)
def test_no_archive_hides_it(tmp_path: Path, write: Callable[[Path, bytes], None], suffix: str) -> None:
    marker = tmp_path / "it-ran"
    code = _pickled(_mkdir(marker))
    _runs(code, marker)
    write(tmp_path / f"x{suffix}", code)
    _refused(tmp_path / f"x{suffix}", marker)


def test_code_beside_sound_weights_is_refused(tmp_path: Path) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "x.pt"
    torch.save({"a": torch.ones(2, 2)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert set(open_checkpoint(path).tensors) == {"a"}  # the negative control
    pickled = members["x/data.pkl"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            members | {"x/data.pkl": pickled[:2] + _code(_mkdir(marker)) + b"0" + pickled[2:]}
        ).items():
            archive.writestr(name, content)
    assert set(torch.load(path, weights_only=False)) == {"a"}
    assert marker.exists()
    marker.rmdir()
    assert "would run code when loaded ('os.mkdir')" in _refused(path, marker)


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "scheduler.pt", "scaler.pt", "rng_state.pth"])
def test_what_a_trainer_leaves_beside_the_weights_is_never_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "it-ran"
    _inside(_pickled(_mkdir(marker)), "zip", tmp_path / name)
    torch.save({"a.weight": torch.ones(2, 2)}, tmp_path / "pytorch_model.bin")
    assert open_checkpoint(tmp_path).tensors["a.weight"].load(None).sum() == 4
    assert not marker.exists()
    _refused(tmp_path / name, marker)


def test_a_persistent_identity_is_no_call(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    for identity in (_mkdir(marker), ("storage", _mkdir(marker), "0", "cpu", 4), ("module", Name("os", "mkdir"), "x")):
        code = b"\x80\x04" + _code(identity) + b"Q."
        with suppress(pickle.UnpicklingError):  # it knows no identities, but makes what they are made of
            pickle.loads(code)
        if marker.exists():
            marker.rmdir()
        for place in ("zip", "old, weights"):
            _refused(_inside(code, place, tmp_path / "x.pt"), marker)


def test_the_names_that_are_taken_make_nothing(tmp_path: Path) -> None:
    # torch's own weights_only makes these; here they are records, so that a billion bytes cost nothing.
    code = b"\x80\x02}(" + _code("a") + _code(Call(Name("builtins", "bytearray"), (1 << 40,)))
    code += _code("b") + _code(Call(Name("torch", "Tensor"), (1 << 40,))) + b"u."
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_torch(_inside(code, "zip", tmp_path / "x.pt"))
