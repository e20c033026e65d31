"""Tensors that lie in a file: the bytes of one are read when it is asked for, and never more of the file than that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..text_files import regular_file
from .stored import Stored

# Longer names are nobody's; what cleans and pairs names may take a time that grows with the square of their length.
_LONGEST_NAME = 2_000
_MOST_AXES = 32
_AT_ONCE = 1 << 30  # bytes: some systems read no more than 2 GB in one call


@dataclass(frozen=True)
class WeightsFile:
    """A regular file as it was when it was opened: its size and the time of its last change.

    It is opened anew for each read, so that a checkpoint of a thousand shards holds no thousand files open.
    """

    path: Path
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> WeightsFile:
        """Look at a file without reading its weights.

        Raises
        ------
        CheckpointError
            If it is no regular file (a pipe or a device could be read for ever), is empty, or only stands for weights
            that lie elsewhere.
        """
        status = regular_file(path, error=CheckpointError)
        file = cls(path, status.st_size, status.st_mtime_ns)
        try:
            head = file.read(0, min(40, file.size))
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({_reason(error)}); check its permissions") from error
        if not head:
            raise CheckpointError(f"{path}: the file is empty (0 bytes); download or save it again")
        if head.startswith(b"version https://git-lfs"):
            raise CheckpointError(f"{path}: a git-lfs pointer, not the weights; run `git lfs pull`")
        if head.startswith((b"\x00\x05\x16\x07", b"\x00\x05\x16\x00")):
            raise CheckpointError(
                f"{path}: what a Mac keeps beside a file (AppleDouble), not the weights; pass the file without '._'"
            )
        return file

    def place(self, name: str) -> str:
        """The file and a name in it, on one line."""
        return f"{self.path}: {name if name.isprintable() else repr(name)}"

    @contextmanager
    def opened(self) -> Iterator[FileIO]:
        """The open file, if it is still the one that was looked at; OSError if not."""
        with self.path.open("rb", buffering=0) as file:
            status = self.path.stat()
            if (status.st_size, status.st_mtime_ns) != (self.size, self.changed_ns):
                raise OSError("the file was changed since it was opened")
            yield file

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on; OSError if they are not all there."""
        buffer = bytearray(count)
        self.read_into(memoryview(buffer), start)
        return bytes(buffer)

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer` with the bytes from `start` on; OSError if they are not all there."""
        with self.opened() as file:
            file.seek(start)
            done = 0
            while done < len(buffer):
                count = file.readinto(buffer[done : done + _AT_ONCE])
                if not count:
                    raise OSError("the file ends before the tensor does")
                done += count


@dataclass(frozen=True)
class FileTensor:
    """Where the values of one tensor lie: from byte `start` on, `stride` values apart along each axis."""

    file: WeightsFile
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int

    @property
    def where(self) -> str:
        """The file and the name in it, for messages."""
        return self.file.place(self.name)

    def stored(self, storage: object = None) -> Stored:
        """The same, as the tensor of a checkpoint."""
        return Stored(self.shape, self.dtype, self.load, self.where, storage)

    def load(self, index: int | None = None) -> Tensor:
        """Read it whole, or one entry of its first axis.

        Raises
        ------
        CheckpointError
            If the file was changed, or there is not enough memory for the tensor.
        """
        start, shape, stride = self.start, self.shape, self.stride
        if index is not None:
            start += index * stride[0] * self.dtype.itemsize
            shape, stride = shape[1:], stride[1:]
        count = extent(shape, stride)
        try:
            buffer = torch.empty(count * self.dtype.itemsize, dtype=torch.uint8)
            if count:
                self.file.read_into(buffer.numpy().data, start)
        except (OSError, MemoryError, RuntimeError) as error:  # torch's word for no memory is RuntimeError
            advice = "leave the file alone while it is read, or download or save it again"
            if not isinstance(error, OSError):
                advice = "leave it out, or use a machine with more memory"
            raise CheckpointError(
                f"{self.file.path}: tensor {self.name!r} cannot be read ({_reason(error)}); {advice}"
            ) from error
        return buffer.view(self.dtype).as_strided(shape, stride)


def is_there(path: Path) -> bool:
    """Whether there is anything of this name, be it one that the system does not take."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How many values lie between the first and the last of a tensor, both counted."""
    return 0 if 0 in shape else 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor whose values lie in a row, the last axis fastest."""
    stride = [1]
    for size in reversed(shape[1:]):
        stride.append(stride[-1] * max(size, 1))
    return tuple(reversed(stride[: len(shape)]))


def name_fault(name: str) -> str:
    """Why a tensor cannot have this name; empty where it can."""
    return f"a tensor's name has {len(name)} characters" if len(name) > _LONGEST_NAME else ""


def shape_fault(shape: object) -> str:
    """Why a tensor cannot have this shape; empty where it can."""
    if not isinstance(shape, (list, tuple)):
        return "its shape is not a list of sizes"
    if len(shape) > _MOST_AXES:
        return f"it has {len(shape)} axes"
    if not all(type(size) is int and size >= 0 for size in shape):
        return "its sizes are not whole numbers from 0 on"
    product = 1
    for size in shape:
        product *= max(size, 1)
    return "" if product < 1 << 60 else "it has more values than can be counted"


def _reason(error: Exception) -> str:
    if isinstance(error, (MemoryError, RuntimeError)):
        return "there is not enough memory for it"
    return getattr(error, "strerror", None) or str(error)
