from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from spectra import CheckpointError
from spectra.weights.file_tensors import FileTensor, WeightsFile, contiguous, extent, is_there, name_fault, shape_fault
from tests.failing import READS, each_failure


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "x.safetensors")
    return folder / "x.safetensors"


def _link(folder: Path) -> Path:
    (folder / "x.safetensors").symlink_to("/dev/zero")
    return folder / "x.safetensors"


def _file(folder: Path, content: bytes) -> Path:
    (folder / "x.safetensors").write_bytes(content)
    return folder / "x.safetensors"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_fifo, "is a pipe or a device, not a file"),  # opened, it would be waited for without end
        (_link, "is a pipe or a device, not a file"),  # read, it would never end
        (lambda folder: folder, "is a folder; give a file in it"),
        (lambda folder: folder / "gone", "no such file"),
        (lambda folder: folder / ("a" * 5000), r"cannot be read \(File name too long\)"),
        (lambda folder: folder / "a\0b", r"cannot be read \(embedded null"),
        (lambda folder: _file(folder, b""), r"the file is empty \(0 bytes\)"),
        (lambda folder: _file(folder, b"version https://git-lfs.github.com/spec/v1\n"), "git-lfs pointer"),
        (lambda folder: _file(folder, b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"), "pass the file without '._'"),
    ],
)
def test_what_is_no_file_of_weights_is_told_before_it_is_read(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        WeightsFile.of(make(tmp_path))


def test_names_that_the_system_does_not_take_are_not_there(tmp_path: Path) -> None:
    assert is_there(tmp_path)
    assert not any(is_there(tmp_path / name) for name in ("gone", "a\0b", "a" * 5000, "\ud800"))


def _written(folder: Path, count: int) -> WeightsFile:
    (folder / "x.bin").write_bytes(b"head" + np.arange(count, dtype=np.int16).tobytes())
    return WeightsFile.of(folder / "x.bin")


@st.composite
def _views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    return tuple(shape), tuple(draw(st.integers(0, 6)) for _ in shape), draw(st.integers(0, 5))


@given(view=_views())
def test_every_view_has_the_values_that_torch_gives_it(
    tmp_path_factory: pytest.TempPathFactory, view: tuple[tuple[int, ...], tuple[int, ...], int]
) -> None:
    shape, stride, offset = view
    file = _written(tmp_path_factory.mktemp("views"), 120)
    tensor = FileTensor(file, "x", torch.int16, shape, stride, 4 + 2 * offset)
    expected = torch.arange(120, dtype=torch.int16).as_strided(shape, stride, offset)
    assert torch.equal(tensor.load(), expected)
    for index in range(shape[0] if shape else 0):
        assert torch.equal(tensor.load(index), expected[index])


@given(shape=st.lists(st.integers(0, 4), max_size=4).map(tuple))
def test_values_in_a_row_have_torchs_strides_and_no_gap(shape: tuple[int, ...]) -> None:
    assert contiguous(shape) == torch.empty(shape).stride()
    assert extent(shape, contiguous(shape)) == torch.empty(shape).numel()


def test_one_entry_is_read_without_the_others(tmp_path: Path) -> None:
    tensor = FileTensor(_written(tmp_path, 12), "x", torch.int16, (3, 4), (4, 1), 4)
    read: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = WeightsFile.read_into
        patch.setattr(
            WeightsFile,
            "read_into",
            lambda self, buffer, start: (read.append((start, len(buffer))), whole(self, buffer, start))[1],
        )
        assert tensor.load(2).tolist() == [8, 9, 10, 11]
    assert read == [(4 + 2 * 8, 8)]


@pytest.mark.parametrize("change", ["shorter", "longer", "same length", "gone"])
def test_a_file_that_changes_after_it_was_opened_is_not_read_on(tmp_path: Path, change: str) -> None:
    file = _written(tmp_path, 12)
    tensor = FileTensor(file, "x", torch.int16, (12,), (1,), 4)
    tensor.load()
    if change == "gone":
        file.path.unlink()
    else:
        file.path.write_bytes(bytes({"shorter": 10, "longer": 100, "same length": file.size}[change]))
        os.utime(file.path, ns=(0, file.changed_ns + 1))
    with pytest.raises(CheckpointError, match=r"x\.bin: tensor 'x' cannot be read"):
        tensor.load()


def test_a_tensor_beyond_all_memory_is_one_sentence(tmp_path: Path) -> None:
    tensor = FileTensor(_written(tmp_path, 12), "x", torch.int16, (1 << 55,), (1,), 4)
    with pytest.raises(CheckpointError, match=r"tensor 'x' cannot be read \(there is not enough memory for it\)"):
        tensor.load()


def test_each_read_that_fails_is_one_sentence(tmp_path: Path) -> None:
    path = _written(tmp_path, 12).path
    failed = list(
        each_failure(
            READS,
            lambda: FileTensor(WeightsFile.of(path), "x", torch.int16, (12,), (1,), 4).load(),
            allowed=CheckpointError,
            error=errno.EIO,
        )
    )
    assert len(failed) >= 2


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ([2, 3], ""),
        ((), ""),
        ([0, 5], ""),
        ("23", "not a list of sizes"),
        (None, "not a list of sizes"),
        ([2, -3], "not whole numbers"),
        ([2.0], "not whole numbers"),
        ([True], "not whole numbers"),
        ([1] * 33, "33 axes"),
        ([1 << 40, 1 << 40], "more values than can be counted"),
        ([1 << 40, 0, 1 << 40], "more values than can be counted"),  # torch multiplies them all the same
    ],
)
def test_shapes(shape: object, fault: str) -> None:
    assert fault in shape_fault(shape)
    assert bool(fault) == bool(shape_fault(shape))


def test_names() -> None:
    assert not name_fault("model.layers.0.weight")
    assert "3000 characters" in name_fault("a" * 3000)


LARGE = """
import json, resource, sys
from pathlib import Path
from click.testing import CliRunner
import torch
from safetensors import safe_open
from spectra.cli import main
from spectra.weights import open_checkpoint, pair

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), used + (2 << 30)))
for suffix in (".safetensors", ".pt"):
    base, tuned = (Path(sys.argv[1]) / f"{side}{suffix}" for side in ("base", "tuned"))
    listed = CliRunner().invoke(main, ["inspect", str(base), "--format", "json"])
    assert listed.exit_code == 0, listed.output
    assert [m["rows"] for m in json.loads(listed.stdout)["matrices"]] == [100_000, 4]
    (small,) = pair(open_checkpoint(base), open_checkpoint(tuned), include=["small"]).pairs
    W0 = small.read_base(dtype=torch.float32, device="cpu")
    print(W0.sum().item(), small.read_whole(W0).sum().item())
for load in (
    lambda: safe_open(Path(sys.argv[1]) / "base.safetensors", framework="pt").__enter__(),
    lambda: torch.load(Path(sys.argv[1]) / "base.pt", mmap=True),
):
    try:
        load()
    except (MemoryError, OSError, RuntimeError):
        print("the library cannot")
"""


def _large(folder: Path, side: str, small: torch.Tensor) -> None:
    """Two files with a hole of 40 GB and a small matrix: nothing on disk, more than any memory that is allowed."""
    large = 100_000 * 100_000 * 4
    entries = {
        "layers.0.large.weight": {"dtype": "F32", "shape": [100_000, 100_000], "data_offsets": [0, large]},
        "layers.1.small.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [large, large + 64]},
    }
    header = json.dumps(entries).encode()
    with (folder / f"{side}.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.seek(large, os.SEEK_CUR)
        file.write(small.numpy().tobytes())
    path = folder / f"{side}.pt"
    with FakeTensorMode(), torch.serialization.skip_data(materialize_fake_tensors=True):
        content = {"layers.0.large.weight": torch.empty(100_000, 100_000), "layers.1.small.weight": torch.empty(4, 4)}
        torch.save(content, path)
    with path.open("r+b") as file:
        file.seek(torch._C.PyTorchFileReader(str(path)).get_record_offset("data/1"))
        file.write(small.numpy().tobytes())


def test_files_larger_than_memory(tmp_path: Path) -> None:
    _large(tmp_path, "base", torch.ones(4, 4))
    _large(tmp_path, "tuned", 2 * torch.ones(4, 4))
    assert all((tmp_path / f"base{suffix}").stat().st_size > 40e9 for suffix in (".safetensors", ".pt"))
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["16.0 32.0"] * 2 + ["the library cannot"] * 2  # the last are negative controls
