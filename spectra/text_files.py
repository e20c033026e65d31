"""One reader for each kind of text file: plain text, JSON, JSON lines, YAML. Nothing is read or built without a bound.

Every reader takes a regular file alone (no pipe, no device), of a limited size, in UTF-8, and raises `error` in one
sentence that names the file, the line where there is one, what is wrong and what to do.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .bounded_yaml import MAX_DEPTH, BoundedLoader
from .errors import SpectraError

MAX_TEXT = 1 << 30  # bytes of text and data
MAX_JSON = 64 << 20  # the index of a checkpoint with 200,000 tensors takes 20 MB
MAX_YAML = 1 << 20  # written by hand; the parser takes a few seconds for this


def regular_file(path: str | Path, *, error: type[SpectraError] = SpectraError) -> os.stat_result:
    """The status of a regular file, looked at without opening it: to open a pipe would wait for ever.

    Raises
    ------
    SpectraError
        As `error`, if there is no such file, or it is a folder, a pipe or a device.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError as reason:
        raise error(f"{path}: no such file; check the path") from reason
    except (OSError, ValueError) as reason:  # ValueError: a NUL in the path
        raise error(_unreadable(path, reason)) from reason
    if stat.S_ISDIR(found.st_mode):
        raise error(f"{path}: is a folder; give a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: is a pipe or a device, not a file; save what it gives to a file and give that")
    return found


def read_bytes(path: str | Path, *, limit: int, error: type[SpectraError] = SpectraError) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises
    ------
    SpectraError
        As `error`, if it is larger, no regular file, or cannot be read.
    """
    size = regular_file(path, error=error).st_size
    content = b""
    if size <= limit:
        try:
            with Path(path).open("rb") as file:
                content = file.read(limit + 1)  # it may have grown since
        except OSError as reason:
            raise error(_unreadable(path, reason)) from reason
    if max(size, len(content)) > limit:
        raise error(
            f"{path}: is {max(size, len(content)):,} bytes long, more than the {limit:,} that are read of such a file; "
            "check that it is the right one, or split it"
        )
    return content


def read_text(path: str | Path, *, limit: int = MAX_TEXT, error: type[SpectraError] = SpectraError) -> str:
    r"""Text in UTF-8, with or without a byte order mark; every line ends in ``\n``.

    Raises
    ------
    SpectraError
        As `error`, if it cannot be read, or is not UTF-8; how to convert UTF-16 and cp1252 is then said.
    """
    content = read_bytes(path, limit=limit, error=error)
    if encoding := _other_encoding(content):
        raise error(f"{path}: is in {encoding}, not in UTF-8; convert it with `{_iconv(path, encoding)}`")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = content[: reason.start].count(b"\n") + 1
        raise error(
            f"{path}: line {line} is not UTF-8 (byte 0x{content[reason.start]:02x}); "
            f"if the file is from Windows, convert it with `{_iconv(path, 'CP1252')}`"
        ) from reason
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise error(f"{path}: line {line} holds a NUL byte, so this is no text; check that it is the right file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | Path, *, limit: int = MAX_JSON, error: type[SpectraError] = SpectraError) -> Any:
    """What a JSON file holds.

    ``NaN`` and ``Infinity`` are read as Python writes them (transformers' configs have them); whoever uses a number
    looks at its range.

    Raises
    ------
    SpectraError
        As `error`, if the file cannot be read, is not JSON, names a key twice, nests deeper than 64 levels, or holds
        an integer of more than 64 bits or half a character.
    """
    return parse_json(read_text(path, limit=limit, error=error), str(path), error=error)


def read_json_object(
    path: str | Path, *, limit: int = MAX_JSON, error: type[SpectraError] = SpectraError
) -> dict[str, Any]:
    """What a JSON file holds, which has to be an object; otherwise as `read_json`."""
    found = read_json(path, limit=limit, error=error)
    if not isinstance(found, dict):
        raise error(f"{path}: holds {_kind(found)} where a JSON object {{…}} is expected; save it again")
    return found


def read_json_lines(path: str | Path, *, limit: int = MAX_TEXT, error: type[SpectraError] = SpectraError) -> list[Any]:
    """What each line of a file holds, empty lines left out; otherwise as `read_json`, with the line named."""
    lines = read_text(path, limit=limit, error=error).split("\n")  # not splitlines: U+2028 may stand in a string
    return [
        parse_json(line, f"{path}: line {number}", error=error)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def parse_json(text: str, where: str, *, error: type[SpectraError] = SpectraError) -> Any:
    """What a JSON text holds; `where` it stands begins the message. Otherwise as `read_json`."""
    try:
        found = json.loads(text, object_pairs_hook=_object)
        _check(found)
    except json.JSONDecodeError as reason:
        line = f"line {reason.lineno}, " if "\n" in text.strip() else ""
        raise error(f"{where}: {line}column {reason.colno}: not valid JSON ({reason.msg}); mend it there") from reason
    except RecursionError as reason:
        raise error(f"{where}: nests deeper than {MAX_DEPTH} levels; write it flatter") from reason
    except _UnusableError as reason:
        raise error(f"{where}: {reason}") from reason
    except ValueError as reason:  # Python's own limit on the digits of an integer
        raise error(f"{where}: {_LONG_INTEGER}") from reason
    return found


def read_yaml(path: str | Path, *, limit: int = MAX_YAML, error: type[SpectraError] = SpectraError) -> Any:
    """What a YAML file holds: plain values alone, no object of another type is ever made.

    Raises
    ------
    SpectraError
        As `error`, if the file cannot be read, is not YAML, names a key twice, nests deeper than 64 levels, holds
        itself, has more than 100,000 values once its aliases are written out, or holds an integer of more than
        64 bits or half a character.
    """
    return parse_yaml(read_text(path, limit=limit, error=error), str(path), error=error)


def parse_yaml(text: str, where: str, *, error: type[SpectraError] = SpectraError) -> Any:
    """As `read_yaml`, from text that was read from `where`."""
    try:
        found = BoundedLoader(text).get_single_data()
        _check(found)
    except yaml.MarkedYAMLError as reason:
        line = f"line {reason.problem_mark.line + 1}: " if reason.problem_mark else ""
        raise error(f"{where}: {line}cannot be read as YAML ({reason.problem}); mend it there") from reason
    except yaml.YAMLError as reason:
        raise error(f"{where}: cannot be read as YAML ({' '.join(str(reason).split())}); mend it there") from reason
    except _UnusableError as reason:
        raise error(f"{where}: {reason}") from reason
    return found


_LONG_INTEGER = "holds an integer of more than 64 bits; write a smaller one"


class _UnusableError(Exception):
    """What a parser read and no reader wants."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise _UnusableError(f"names {_short(twice)} twice in one object; leave one of them out")
    return found


def _check(value: Any) -> None:
    """Bounds of what was read, so that nothing that goes on from here overflows, recurses or cannot be written."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [inner for outer in level for inner in _inside(outer)]
    raise _UnusableError(f"nests deeper than {MAX_DEPTH} levels; write it flatter")


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set)):
        yield from value
    elif isinstance(value, int) and value.bit_length() > 64:
        raise _UnusableError(_LONG_INTEGER)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as reason:
            raise _UnusableError(
                f"holds half a character (a lone surrogate) in {_short(value)}; write it whole"
            ) from reason


def _other_encoding(content: bytes) -> str:
    """UTF-32 or UTF-16, by its mark or by the zero bytes of plain letters; empty for anything else."""
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    head = content[:400]
    for zeros, letters, name in ((head[1::2], head[::2], "UTF-16LE"), (head[::2], head[1::2], "UTF-16BE")):
        if zeros.count(0) > len(zeros) / 2 and letters.count(0) == 0:
            return name
    return ""


def _iconv(path: str | Path, encoding: str) -> str:
    path = Path(path)
    converted = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(converted))}"


def _unreadable(path: str | Path, reason: Exception) -> str:
    return f"{path}: cannot be read ({getattr(reason, 'strerror', None) or reason}); check the path and its permissions"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
