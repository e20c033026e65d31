"""Pickles read as data: the instructions that ``torch.save`` writes, on records in place of objects.

A pickle is a program for a small machine, and Python's own calls whatever the program names. This one calls nothing:
what a program names is looked up in `records`, which knows what ``torch.save`` writes, and anything else ends the
reading. It takes the instructions that torch's own ``weights_only`` takes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import IO, Any

from .records import Name, PickleError, SavedStorage, Unused, called, known, stored_outside

# A checkpoint of a hundred thousand tensors has three million; five take some seconds and half a gigabyte.
_MOST_INSTRUCTIONS = 5_000_000
_LONGEST_LINE = 1_000
# Greater ones can be made to fall on one place of a dictionary. No size, step or layer number is near it.
_GREATEST_KEY = 1 << 60


class PickleReader:
    """Reads pickles that lie one after the other.

    Parameters
    ----------
    file : binary file
        At the first byte of the first pickle.
    end : int
        Where the file ends.

    Attributes
    ----------
    storages : dict of str to SavedStorage
        By key, those that were named so far.
    """

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file = file
        self.storages: dict[str, SavedStorage] = {}
        self._end = end
        self._instructions = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        """The next pickle: dictionaries, lists, tuples, numbers, text, and records of tensors.

        Raises
        ------
        UnsafePickleError
            If it names anything but tensors and plain values.
        PickleError
            If it is damaged, or has more instructions than any checkpoint.
        """
        self._stack, self._memo = [], {}
        read = self._file.read
        try:
            while (code := read(1)) != b".":
                self._count(1)
                _INSTRUCTIONS[code](self)
            return self._stack.pop()
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise PickleError(f"its pickle is damaged, {type(error).__name__} at byte {self._file.tell()}") from error

    def _count(self, instructions: int) -> None:
        self._instructions += instructions
        if self._instructions > _MOST_INSTRUCTIONS:
            raise PickleError(f"its pickle has more than {_MOST_INSTRUCTIONS} instructions")

    def _take(self, count: int) -> bytes:
        # Looked at first, as a file makes room for as many bytes as it is asked for.
        if count > 1_000 and count > self._end - self._file.tell():
            raise PickleError("its pickle ends too early")
        data = self._file.read(count)
        if len(data) < count:
            raise PickleError("its pickle ends too early")
        return data

    def _protocol(self) -> None:
        self._take(1)  # the instructions themselves say what is needed

    def _size(self, count: int) -> int:
        return int.from_bytes(self._take(count), "little")

    def _text(self, length_bytes: int) -> None:
        self._stack.append(self._take(self._size(length_bytes)).decode("utf-8", "surrogatepass"))

    def _number(self, layout: str) -> None:
        self._stack.append(struct.unpack(layout, self._take(struct.calcsize(layout)))[0])

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._size(1)), "little", signed=True))

    def _name(self) -> None:
        lines = [self._file.readline(_LONGEST_LINE).decode("utf-8") for _ in range(2)]
        if not all(line.endswith("\n") for line in lines):
            raise PickleError("its pickle names something without end")
        self._stack.append(known(".".join(line[:-1] for line in lines)))

    def _put(self, length_bytes: int) -> None:
        self._memo[self._size(length_bytes)] = self._stack[-1]

    def _get(self, length_bytes: int) -> None:
        self._stack.append(self._memo[self._size(length_bytes)])

    def _after_mark(self) -> list[Any]:
        position = len(self._stack) - 1
        while self._stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise PickleError("its pickle is damaged, a mark is missing")
        items = self._stack[position + 1 :]
        del self._stack[position:]
        return items

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _append(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise TypeError
        self._stack[-1] += items

    def _set(self, mapping: Any, items: list[Any]) -> None:
        if len(items) % 2 or type(mapping) not in (dict, Unused):
            raise TypeError
        if type(mapping) is Unused:
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int, float, bytes, type(None), Name)):
                raise PickleError("a dictionary in it has a key that is no name and no number")
            if isinstance(key, int) and abs(key) > _GREATEST_KEY:
                raise PickleError("a dictionary in it has a key of endless digits")
            mapping[key] = value

    def _set_one(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set(self._stack[-1], [key, value])

    def _set_many(self) -> None:
        items = self._after_mark()
        self._set(self._stack[-1], items)

    def _call(self) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if type(name) is not Name or type(arguments) is not tuple:
            raise PickleError("its pickle calls what is no name")
        if name.name != "collections.OrderedDict":
            self._stack.append(called(name.name, arguments))
            return
        made: dict[Any, Any] = {}
        if arguments:  # Python 2 wrote its entries as a list of pairs
            (pairs,) = arguments
            self._count(len(pairs))
            for key, value in pairs:
                self._set(made, [key, value])
        self._stack.append(made)

    def _build(self) -> None:
        self._stack.pop()  # what torch keeps beside the entries of a state dict, of no use here
        if type(self._stack[-1]) not in (dict, Unused):
            raise TypeError

    def _persistent(self) -> None:
        storage = stored_outside(self._stack.pop())
        self.storages.setdefault(storage.key, storage)
        self._stack.append(storage)


_MARK = object()


def _push(value: Any) -> Callable[[PickleReader], None]:
    return lambda reader: reader._stack.append(value)


_INSTRUCTIONS: dict[bytes, Callable[[PickleReader], None]] = {
    b"\x80": PickleReader._protocol,
    b"(": _push(_MARK),
    b"N": _push(None),
    b"\x88": _push(True),
    b"\x89": _push(False),
    b")": _push(()),
    b"\x8f": _push(Unused()),  # EMPTY_SET
    b"]": lambda reader: reader._stack.append([]),
    b"}": lambda reader: reader._stack.append({}),
    b"J": lambda reader: reader._number("<i"),
    b"K": lambda reader: reader._number("<B"),
    b"M": lambda reader: reader._number("<H"),
    b"G": lambda reader: reader._number(">d"),
    b"\x8a": PickleReader._long,
    b"X": lambda reader: reader._text(4),
    b"U": lambda reader: reader._text(1),
    b"q": lambda reader: reader._put(1),
    b"r": lambda reader: reader._put(4),
    b"h": lambda reader: reader._get(1),
    b"j": lambda reader: reader._get(4),
    b"\x85": lambda reader: reader._tuple(1),
    b"\x86": lambda reader: reader._tuple(2),
    b"\x87": lambda reader: reader._tuple(3),
    b"t": lambda reader: reader._stack.append(tuple(reader._after_mark())),
    b"a": lambda reader: reader._append([reader._stack.pop()]),
    b"e": lambda reader: reader._append(reader._after_mark()),
    b"s": PickleReader._set_one,
    b"u": PickleReader._set_many,
    b"c": PickleReader._name,  # GLOBAL
    b"R": PickleReader._call,  # REDUCE
    b"\x81": PickleReader._call,  # NEWOBJ
    b"b": PickleReader._build,
    b"Q": PickleReader._persistent,
}
