"""What ``torch.save`` writes of tensors, as records: which storage, which values of it, in which shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from .file_tensors import extent, shape_fault
from .stored import NESTED, NO_DATA, QUANTIZED, SPARSE


class PickleError(Exception):
    """A pickle that is damaged, or none that ``torch.save`` writes."""


class UnsafePickleError(PickleError):
    """A pickle that names something which is neither a tensor nor a plain value."""


@dataclass(frozen=True)
class Name:
    """Something outside a pickle that it names."""

    name: str


class Unused:
    """A plain value of no use to whoever reads weights: a set, a device, bytes."""


@dataclass(frozen=True, eq=False)
class SavedStorage:
    """Values in a row that lie elsewhere in the file.

    Attributes
    ----------
    dtype : torch.dtype
    key : str
        What the file calls it.
    numel : int
    view : (int, int) or None
        The first value and how many, where the storage is a part of the one of that key.
    """

    dtype: torch.dtype
    key: str
    numel: int
    view: tuple[int, int] | None = None

    @property
    def bytes(self) -> tuple[int, int]:
        """The first byte that it has of the storage of its key, and how many."""
        first, count = self.view or (0, self.numel)
        return first * self.dtype.itemsize, count * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class SavedTensor:
    """One tensor; where it has no storage, `unreadable` says why."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: SavedStorage | None = None
    unreadable: str = ""


def known(name: str) -> Name:
    """The name, if it is one of those that ``torch.save`` writes for tensors and plain values."""
    if name not in _MAKERS and name not in _PLAIN and name not in _DTYPES and name not in _STORAGES:
        raise UnsafePickleError(name)
    return Name(name)


def called(name: str, arguments: tuple[Any, ...]) -> SavedTensor | tuple[Any, ...] | Unused:
    """The record of what calling `name` would make."""
    if name in _MAKERS:
        return _MAKERS[name](*arguments)
    if name == "torch.Size" and arguments:
        return tuple(arguments[0])
    if name in _PLAIN:
        return Unused()
    raise PickleError(f"its pickle calls {name}")


def stored_outside(identity: Any) -> SavedStorage:
    """The record of a storage, from what a pickle keeps in its place."""
    kind, dtype, key, location, numel, *view = identity
    if kind != "storage" or not isinstance(key, str) or not isinstance(location, str):
        raise PickleError("its pickle keeps something outside that is no storage")
    part = (_whole(view[0][1]), _whole(view[0][2])) if view and view[0] is not None else None
    return SavedStorage(_dtype(dtype, _STORAGES), key, _whole(numel), part)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise PickleError("a size or an offset in it is no whole number")
    return value


def _dtype(name: Any, table: dict[str, torch.dtype]) -> torch.dtype:
    return table[name.name]


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> SavedTensor:
    """``_rebuild_tensor`` and its second version: requires_grad, hooks and metadata follow."""
    return _strided(storage, offset, shape, stride, storage.dtype, rest[2:])


def _typed_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> SavedTensor:
    """The third version: requires_grad, hooks, the type and metadata follow."""
    return _strided(storage, offset, shape, stride, _dtype(rest[2], _DTYPES), rest[3:])


def _strided(
    storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype, metadata: tuple[Any, ...]
) -> SavedTensor:
    if type(storage) is not SavedStorage:
        raise PickleError("a tensor in it has no storage")
    if fault := shape_fault(shape):
        raise PickleError(f"a tensor in it cannot be: {fault}")
    if type(stride) is not tuple or len(stride) != len(shape):
        raise PickleError("a tensor in it has not as many strides as axes")
    shape, stride = tuple(shape), tuple(map(_whole, stride))
    tensor = SavedTensor(dtype, shape, stride, _whole(offset), storage)
    if (tensor.offset + extent(shape, stride)) * dtype.itemsize > storage.bytes[1] and 0 not in shape:
        raise PickleError("a tensor in it has values outside of its storage")
    if any(metadata) and any(metadata[0].values()):
        return replace(tensor, storage=None, unreadable=_CONJUGATED)
    return tensor


def _same(tensor: Any, *_: Any) -> SavedTensor:
    """A parameter is the tensor in it."""
    if type(tensor) is not SavedTensor:
        raise PickleError("a parameter in it holds no tensor")
    return tensor


def _of_a_class(rebuild: Any, _: Any, arguments: Any, *state: Any) -> SavedTensor:
    """A tensor with attributes: those are of no use here."""
    if rebuild.name == "torch._tensor._rebuild_from_type_v2":
        raise PickleError("its pickle makes a tensor of a tensor")
    return _MAKERS[rebuild.name](*arguments)


def _on_a_device(tensor: Any, dtype: Any, *_: Any) -> SavedTensor:
    if _same(tensor).dtype != _dtype(dtype, _DTYPES):
        return SavedTensor(tensor.dtype, tensor.shape, unreadable=_CONVERTED)
    return _same(tensor)


def _unreadable(reason: str, shape_at: int | None) -> Callable[..., SavedTensor]:
    def make(*arguments: Any) -> SavedTensor:
        shape = () if shape_at is None else arguments[shape_at]
        if fault := shape_fault(shape):
            raise PickleError(f"a tensor in it cannot be: {fault}")
        return SavedTensor(torch.uint8, tuple(shape), unreadable=reason)

    return make


def _sparse(_: Any, parts: Any) -> SavedTensor:
    """Indices and values are tensors; the shape is a tuple."""
    return _unreadable(SPARSE, 0)(next((part for part in parts if type(part) is tuple), None))


_CONJUGATED = "saved with its signs or conjugates still to be taken; save tensor.resolve_neg().resolve_conj()"
_CONVERTED = "saved with its values in another type; save tensor.cpu()"
_MAKERS: dict[str, Callable[..., SavedTensor]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
    "torch._tensor._rebuild_from_type_v2": _of_a_class,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _on_a_device,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _unreadable(NESTED, None),
    "torch._utils._rebuild_meta_tensor_no_storage": _unreadable(NO_DATA, 1),
    "torch._utils._rebuild_wrapper_subclass": _unreadable(NO_DATA, 2),
    "torch._utils._rebuild_qtensor": _unreadable(QUANTIZED, 2),
}
# Plain values, and what tensors are made with.
_PLAIN = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.per_channel_affine",
    "torch.per_channel_symmetric",
    "torch.per_channel_affine_float_qparams",
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
    "__builtin__.bytearray",
    "__builtin__.complex",
    "__builtin__.set",
}
_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.QInt8Storage": torch.qint8,
    "torch.QUInt8Storage": torch.quint8,
    "torch.QInt32Storage": torch.qint32,
    "torch.QUInt4x2Storage": torch.quint4x2,
    "torch.QUInt2x4Storage": torch.quint2x4,
    "torch.storage.UntypedStorage": torch.uint8,
}
