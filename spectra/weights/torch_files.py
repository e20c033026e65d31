"""`.pt`, `.pth`, `.bin` and `.ckpt` files: what the pickle says is read as data, the tensors when they are asked for.

Two formats: a zip archive, whose values lie in members ``data/<key>``, and the older one, five pickles in a row and the
values after them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .file_tensors import FileTensor, WeightsFile, extent, name_fault
from .pickled import PickleReader
from .records import PickleError, SavedStorage, SavedTensor, UnsafePickleError
from .stored import WRAPPERS, Stored, find_state_dict

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of the older format
# Tensors that repeat their values (expand) or share them claim more bytes than the file has. Up to here they may.
_MOST_TIMES_THE_FILE = 16
_MOST_BYTES_BEYOND = 16 << 20

# Where the values of a storage begin in the file, and how many bytes there are, by its key.
Places = dict[str, tuple[int, int]]


def open_torch(path: Path) -> dict[str, Stored]:
    """The tensors of one file, by name; those of the first wrapped state dict where there is one.

    Nothing in the file is run: see `pickled`.

    Raises
    ------
    CheckpointError
        If the file is empty or damaged, would run code when unpickled, or holds no state dict.
    """
    file = WeightsFile.of(path)
    try:
        with file.opened() as raw, BufferedReader(raw) as opened:
            read = _read_zip if opened.peek(4)[:4] == b"PK\x03\x04" else _read_old
            loaded, places = read(opened, file.size)
        tensors = find_state_dict(loaded, SavedTensor, str(path)) if isinstance(loaded, Mapping) else {}
        stored = {name: _stored(file, name, tensor, places) for name, tensor in tensors.items()}
    except UnsafePickleError as error:
        raise CheckpointError(
            f"{path}: refused, because it holds Python objects that would run code when loaded ({str(error)!r}); "
            "save its state dict alone, or convert it to safetensors"
        ) from error
    # The last three are zipfile's, for numbers and methods that no archive of torch has.
    except (PickleError, zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path}: not a readable PyTorch file ({_first_line(error)}); download or save it again"
        ) from error
    if not stored:
        raise CheckpointError(
            f"{path}: holds no state dict (a mapping of names to tensors), at the top or under "
            f"{', '.join(WRAPPERS)}; save model.state_dict()"
        )
    _check_claims(file, tensors)
    return stored


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return repr(lines[0].rstrip("."))[1:-1] if lines else type(error).__name__


def _read_zip(opened: BufferedReader[FileIO], size: int) -> tuple[Any, Places]:
    members = zipfile.ZipFile(opened).infolist()
    by_name = {member.filename: member for member in members}
    root = members[0].filename.split("/", 1)[0] if members else ""
    if len(by_name) < len(members):
        raise PickleError("two of its members have one name")
    if f"{root}/constants.pkl" in by_name:
        raise PickleError("a TorchScript archive, which is a program; save model.state_dict()")
    if f"{root}/data.pkl" not in by_name:
        raise PickleError("a zip archive without weights")
    places = {}
    for name, member in by_name.items():
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise PickleError(f"its member {name[:100]!r} is compressed or encrypted, which torch.save never does")
        # The name and what follows it are there twice, in the directory and here, and need not be as long.
        opened.seek(min(max(0, member.header_offset), size))
        head = opened.read(30)
        start = (
            member.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        )
        if len(head) < 30 or head[:4] != b"PK\x03\x04" or start + member.file_size > size:
            raise PickleError(f"its member {name[:100]!r} does not lie where its directory says")
        places[name] = start, member.file_size
    pickle, order = (_member(opened, places, f"{root}/{name}") for name in ("data.pkl", "byteorder"))
    if by_name[f"{root}/data.pkl"].CRC not in (0, zlib.crc32(pickle)):  # 0 where torch was told to compute none
        raise PickleError("its pickle has another checksum than its directory says")
    if order not in (b"", b"little"):
        raise PickleError("its numbers are in another byte order; load it with torch.load and save it again")
    values = f"{root}/data/"
    keyed = {name.removeprefix(values): place for name, place in places.items() if name.startswith(values)}
    return PickleReader(BytesIO(pickle), len(pickle)).read(), keyed


def _member(opened: BufferedReader[FileIO], places: Places, name: str) -> bytes:
    start, size = places.get(name, (0, 0))
    opened.seek(start)
    return opened.read(size)


def _read_old(opened: BufferedReader[FileIO], size: int) -> tuple[Any, Places]:
    if opened.peek(512)[257:262] == b"ustar":
        raise PickleError(
            "a tar archive of PyTorch 0.1; where you trust it, load it with torch.load and save its state dict"
        )
    reader = PickleReader(opened, size)
    if reader.read() != _MAGIC_NUMBER:
        raise PickleError("it does not begin as torch.save begins")
    reader.read(), reader.read()  # the version of the format, and of the machine that wrote it
    loaded = reader.read()
    keys = reader.read()
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in reader.storages for key in keys):
        raise PickleError("its list of storages is damaged")
    places = {}
    for key in keys:
        count = int.from_bytes(opened.read(8), "little")
        start, length = opened.tell(), count * reader.storages[key].dtype.itemsize
        if length > size - start or key in places:
            raise PickleError("its values end too early")
        opened.seek(start + length)
        places[key] = start, length
    return loaded, places


def _stored(file: WeightsFile, name: str, tensor: SavedTensor, places: Places) -> Stored:
    if fault := name_fault(name):
        raise PickleError(fault)
    if tensor.storage is None:
        return Stored.without_values(tensor.shape, tensor.dtype, file.place(name), tensor.unreadable)
    start = _start(tensor.storage, places) + tensor.offset * tensor.dtype.itemsize
    key = (file.path, tensor.storage.key, tensor.dtype, start, tensor.shape, tensor.stride)
    return FileTensor(file, name, tensor.dtype, tensor.shape, tensor.stride, start).stored(key)


def _start(storage: SavedStorage, places: Places) -> int:
    """Where a storage begins in the file."""
    first, length = storage.bytes
    start, there = places.get(storage.key, (0, 0))
    if first + length > there:
        raise PickleError(f"the values of storage {storage.key[:100]!r} are not all there")
    return start + first


def _check_claims(file: WeightsFile, tensors: Mapping[str, SavedTensor]) -> None:
    """Raise if the tensors claim so many more bytes than the file has that reading them would take all memory."""
    claimed = {
        (tensor.storage.key, tensor.offset, tensor.shape, tensor.stride): _bytes(tensor)
        for tensor in tensors.values()
        if tensor.storage is not None
    }
    if sum(claimed.values()) > _MOST_TIMES_THE_FILE * file.size + _MOST_BYTES_BEYOND:
        largest = max(tensors, key=lambda name: _bytes(tensors[name]))
        raise CheckpointError(
            f"{file.path}: its tensors would take {sum(claimed.values())} bytes, and the file has {file.size}, as they "
            f"repeat or share values (the largest is {largest!r}, {list(tensors[largest].shape)}); save copies "
            "(tensor.contiguous().clone())"
        )


def _bytes(tensor: SavedTensor) -> int:
    """What reading a tensor and having it takes."""
    count = 1
    for size in tensor.shape:
        count *= size
    return max(count, extent(tensor.shape, tensor.stride)) * tensor.dtype.itemsize if tensor.storage else 0
