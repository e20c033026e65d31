"""`.safetensors` files, single or sharded: the header is read and checked, the tensors when they are asked for.

The format: eight bytes with the length of the header, the header (JSON), the values. Read here and not by its library,
which maps a file privately and writable, so that one larger than memory does not open.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from .file_tensors import FileTensor, WeightsFile, contiguous, name_fault, shape_fault
from .stored import Stored

# The format's own limit on a header.
_LONGEST_HEADER = 100_000_000
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F4": torch.float4_e2m1fn_x2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# Values that are no whole number of bytes; torch has no type for the last two.
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


def open_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of one file, by name.

    Raises
    ------
    CheckpointError
        If the file is empty, truncated, not safetensors, or holds no tensor.
    """
    file = WeightsFile.of(path)
    try:
        header, start = _header(file)
        _check_coverage(header, file.size - start)
        tensors = {name: _stored(file, name, entry, start) for name, entry in header.items()}
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); it is truncated or damaged, download or save it again"
        ) from error
    if not tensors:
        raise CheckpointError(f"{path}: the file holds no tensors; save the checkpoint again")
    return tensors


def _header(file: WeightsFile) -> tuple[dict[str, Any], int]:
    """The entry of each tensor, and where the values begin; ValueError where there is no header."""
    if file.size < 8:
        raise ValueError("it is shorter than the length of a header")
    length = int.from_bytes(file.read(0, 8), "little")
    if length > min(_LONGEST_HEADER, file.size - 8):
        raise ValueError(f"its header would have {length} bytes")
    try:
        header = json.loads(file.read(8, length).decode("utf-8"), object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has the same key twice")
    return found


def _check_coverage(header: dict[str, Any], size: int) -> None:
    """ValueError unless each entry is sound and the tensors fill the values' `size` bytes without hole or overlap."""
    for name, entry in header.items():
        if fault := name_fault(name) or _fault(entry):
            raise ValueError(f"tensor {name[:100]!r}: {fault}")
    spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise ValueError(f"its tensors leave a hole or overlap at byte {min(begin, end)} of the values")
        end = stop
    if end != size:
        raise ValueError(f"its tensors fill {end} bytes and there are {size}")


def _fault(entry: Any) -> str:
    """What is wrong with the header's entry of a tensor; empty where nothing is."""
    if not isinstance(entry, dict):
        return "its entry is no JSON object"
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or (dtype not in _DTYPES and dtype not in _BITS):
        return f"its type {str(dtype)[:20]!r} is not known"
    if not isinstance(shape, list) or (fault := shape_fault(shape)):
        return fault if isinstance(shape, list) else "it has no shape"
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int and 0 <= offset < 1 << 62 for offset in offsets)
    ):
        return "its data_offsets are not two positions"
    bits = math.prod(shape) * (_BITS.get(dtype) or 8 * _DTYPES[dtype].itemsize)
    return "" if bits == 8 * (offsets[1] - offsets[0]) else "its shape and type do not fit its data_offsets"


def _stored(file: WeightsFile, name: str, entry: dict[str, Any], start: int) -> Stored:
    code, shape = entry["dtype"], tuple(entry["shape"])
    if code == "F4" and shape and shape[-1] % 2 == 0:  # torch counts pairs of them
        shape = (*shape[:-1], shape[-1] // 2)
    elif code in _BITS:
        return Stored.without_values(
            shape,
            torch.uint8,
            f"{file.path}: {name}",
            f"stored as {code}, which torch cannot read; save it in bfloat16",
        )
    return FileTensor(file, name, _DTYPES[code], shape, contiguous(shape), start + entry["data_offsets"][0]).stored()
