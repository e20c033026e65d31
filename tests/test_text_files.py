from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra import SpectraError
from spectra.errors import RecipeError
from spectra.text_files import (
    parse_json,
    read_bytes,
    read_json,
    read_json_lines,
    read_json_object,
    read_text,
    read_yaml,
)
from tests.failing import READS, each_failure

READERS: dict[Callable[..., Any], str] = {
    read_text: "some text",
    read_json: '{"a": [1, "é"]}',
    read_json_object: '{"a": [1, "é"]}',
    read_json_lines: '{"a": 1}\n\n{"a": 2}\n',
    read_yaml: "a: [1, é]\n",
}
of_all = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
of_json_and_yaml = pytest.mark.parametrize("reader", [read_json, read_yaml], ids=["json", "yaml"])


def _sentence(reader: Callable[..., Any], path: Path, **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        reader(path, error=RecipeError, **options)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert ";" in message  # what to do
    assert len(message) < len(str(path)) * 4 + 300
    return message


@pytest.mark.parametrize("start", ["", "\N{BYTE ORDER MARK}"])
@of_all
def test_what_utf8_holds_is_read(tmp_path: Path, reader: Callable[..., Any], start: str) -> None:
    (tmp_path / "x").write_text(start + READERS[reader], encoding="utf-8")
    expected = {read_text: "some text", read_json_lines: [{"a": 1}, {"a": 2}]}.get(reader, {"a": [1, "é"]})
    assert reader(tmp_path / "x") == expected


def test_all_line_ends_are_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\r\nb\rc\n")
    assert read_text(tmp_path / "x") == "a\nb\nc\n"


def test_lines_are_split_at_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({"a": "b\u2028c\x85d"}, ensure_ascii=False), encoding="utf-8")
    assert read_json_lines(tmp_path / "x") == [{"a": "b\u2028c\x85d"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@of_all
def test_other_encodings_are_told_how_to_convert_and_that_works(
    tmp_path: Path, reader: Callable[..., Any], encoding: str
) -> None:
    path = tmp_path / "a file's.name"
    text = READERS[reader].replace("some", "sömé").replace('"a"', '"ä"')
    path.write_bytes(text.encode(encoding))
    if encoding == "cp1252" and text.isascii():
        return  # then it is UTF-8
    message = _sentence(reader, path)
    command = message.partition("convert it with `")[2].removesuffix("`")
    subprocess.run(["bash", "-c", command], check=True)
    assert read_text(Path(shlex.split(command)[-1])) == text


@pytest.mark.parametrize(
    ("place", "words"),
    [("pipe", "is a pipe or a device"), ("zero", "is a pipe or a device"), ("/dev/stdin", "device"), (".", "is a folder"), ("absent", "no such file"), ("a\0b", "cannot be read"), ("n" * 300, "cannot be read"), ("loop", "cannot be read")],
)  # fmt: skip
@of_all
def test_what_is_no_regular_file_is_not_opened(
    tmp_path: Path, reader: Callable[..., Any], place: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    if place == "/dev/stdin":
        place = "/dev/null"
    with pytest.raises(RecipeError, match=words) as caught:
        reader(place, error=RecipeError)
    assert ";" in str(caught.value)


@of_all
def test_a_file_over_the_limit_is_not_read(tmp_path: Path, reader: Callable[..., Any]) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    assert "1,099,511,627,776 bytes long, more than the" in _sentence(reader, path)
    path.write_text(READERS[reader], encoding="utf-8")
    size = path.stat().st_size
    reader(path, limit=size)
    assert f"is {size} bytes long, more than the {size - 1}" in _sentence(reader, path, limit=size - 1)


def test_a_file_that_grows_while_it_is_read_stays_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 100)
    small = (tmp_path / "x").stat()
    (tmp_path / "x").write_bytes(b"x" * 10_000)
    monkeypatch.setattr(Path, "stat", lambda path: small)
    with pytest.raises(SpectraError, match="201 bytes long, more than the 200"):
        read_bytes(tmp_path / "x", limit=200)


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
@of_all
def test_a_read_that_fails_is_a_sentence(tmp_path: Path, reader: Callable[..., Any], error: int) -> None:
    (tmp_path / "x").write_text(READERS[reader], encoding="utf-8")
    failed = list(each_failure(READS, lambda: reader(tmp_path / "x"), allowed=SpectraError, error=error))
    assert failed


@pytest.mark.parametrize("depth", [60, 70, 900, 100_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["lists", "mappings"])
@of_json_and_yaml
def test_depth_is_bounded(tmp_path: Path, reader: Callable[..., Any], opening: str, depth: int) -> None:
    path = tmp_path / "x"
    if opening != "[" and reader is read_yaml:
        opening = '{"a": '
    path.write_text(opening * depth + "1" + ("]" if opening == "[" else "}") * depth)
    if depth == 60:
        reader(path)
    else:
        assert "nests deeper than 64 levels" in _sentence(reader, path)


@pytest.mark.parametrize("digits", [21, 400, 4400, 5001, 200_000])
@of_json_and_yaml
def test_integers_of_more_than_64_bits_are_refused(tmp_path: Path, reader: Callable[..., Any], digits: int) -> None:
    path = tmp_path / "x"
    for number in ("9" * digits, "-" + "9" * digits):
        path.write_text('{"a": ' + number + "}")
        message = _sentence(reader, path)
        assert "64 bits" in message or "a number of" in message
    path.write_text('{"a": [18446744073709551615, -18446744073709551615]}')
    assert reader(path) == {"a": [2**64 - 1, 1 - 2**64]}


@of_json_and_yaml
def test_half_a_character_is_refused(tmp_path: Path, reader: Callable[..., Any]) -> None:
    for text in (r'{"a": "\ud800"}', r'{"\udfff": 1}'):
        (tmp_path / "x").write_text(text)
        assert "lone surrogate" in _sentence(reader, tmp_path / "x")
    (tmp_path / "x").write_text(r'["\ud83d\ude00"]')
    assert read_json(tmp_path / "x") == ["😀"]


@of_json_and_yaml
def test_a_key_stands_once(tmp_path: Path, reader: Callable[..., Any]) -> None:
    (tmp_path / "x").write_text('{"r": 8, "a": {"r": 1},\n "r": 16}')
    assert "'r'" in (message := _sentence(reader, tmp_path / "x"))
    assert "twice" in message


def test_nan_and_infinity_are_read_as_python_writes_them(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps([float("nan"), float("inf"), -float("inf")]))
    assert repr(read_json(tmp_path / "x")) == "[nan, inf, -inf]"


@pytest.mark.parametrize("text", ["", "{", '{"a" 1}', "[1,]", "nul", '"\t"', "{'a': 1}", "1 2", "\ufffe", '{"a": 1e}'])
def test_what_is_no_json_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text, encoding="utf-8")
    assert "column" in _sentence(read_json, tmp_path / "x")
    (tmp_path / "x").write_text(f'{{"a": 1}}\n{text or "{"}\n', encoding="utf-8")
    assert "line 2: column" in _sentence(read_json_lines, tmp_path / "x")


@pytest.mark.parametrize("text", ["[1]", "null", '"a"', "3", "true"])
def test_an_object_is_an_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert "where a JSON object" in _sentence(read_json_object, tmp_path / "x")


@pytest.mark.parametrize(
    "text",
    [
        "a: [1\nb: 2", "a: b: c", "? [1, 2]\n: 3", "a: !!python/object:os.system {}", "a: !!python/name:os.system", "a: !!bool maybe",
        "a: !!timestamp x", "a: 2020-99-99", "a: !!float x", "a: !!int x", "a: !!binary é", "a: *b", "a: &b [*b]", "a: &b {c: *b}",
        "--- 1\n--- 2\n", "a: !!omap 3", "a: \x01", "!!set 3", "a: !x y", "%YAML 9.1\n--- 1", "\t- 1", "a: !!int ''", "<<: 3", "a: !!float ''",
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text, encoding="utf-8")
    assert "cannot be read as YAML" in _sentence(read_yaml, tmp_path / "x")


def _aliases(levels: int) -> str:
    return "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, levels))


def _merges(levels: int) -> str:
    return "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, levels))


@pytest.mark.parametrize("text", [_aliases, _merges], ids=["aliases", "merges"])
def test_aliases_that_come_to_much_are_refused_before_they_are_written_out(
    tmp_path: Path, text: Callable[[int], str]
) -> None:
    (tmp_path / "x").write_text(text(5))
    assert len(read_yaml(tmp_path / "x")) == 5
    (tmp_path / "x").write_text(text(40))
    assert "aliases written out" in _sentence(read_yaml, tmp_path / "x")


def test_a_merged_mapping_may_be_changed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: *a}\n")
    assert read_yaml(tmp_path / "x")["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    "text",
    ["1:" * 200_000 + "1", "[" * 500_000, "- " * 500_000, "? " * 300_000, "{" * 900_000, "a" * 900_000 + ":", "--- 1\n" * 150_000],
    ids=["sixties", "lists", "dashes", "questions", "mappings", "key", "documents"],
)  # fmt: skip
def test_a_megabyte_of_one_token_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    _sentence(read_yaml, tmp_path / "x")


def test_a_message_says_where_a_text_stands() -> None:
    with pytest.raises(SpectraError, match=r"^r.csv, provenance: column 1: not valid JSON"):
        parse_json("", "r.csv, provenance")


def test_deep_json_far_down_the_stack_is_a_sentence() -> None:
    def down(levels: int) -> Any:
        return parse_json("[" * 60 + "]" * 60, "x") if not levels else down(levels - 1)

    with pytest.raises(SpectraError, match="nests deeper"):
        parse_json("[" * 200 + "]" * 200, "x")
    down(sys.getrecursionlimit() // 2)
