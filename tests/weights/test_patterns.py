from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest

from spectra import CheckpointError, PairingError, RecipeError
from spectra.weights import patterns
from spectra.weights.patterns import NamePattern, Patterns

MODULES = [
    "model.layers.0.self_attn.q_proj",
    "model.layers.11.self_attn.q_proj",
    "model.layers.1.mlp.up_proj",
    "q_proj",
]
# What adapters hold: names in full, ends of names, and the plain expressions that people write for layers.
EXPRESSIONS = [
    "q_proj",
    "self_attn.q_proj",
    "model.layers.0.self_attn.q_proj",
    r"layers\.\d+\.self_attn\.q_proj",
    r"layers\.(0|1)\..*",
    r"layers\.[0-9]{1,2}\.(?:self_attn|mlp)\.\w+_proj",
    r".*\.1\d\..*",
    "^model.*",
    "layers.1$",
    ".*",
    "",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("module", MODULES)
def test_matches_as_peft_does(expression: str, module: str) -> None:
    expected = bool(re.match(rf"(.*\.)?({expression})$", module))  # peft.utils.get_pattern_key
    assert Patterns({expression: True}, "x").value(module, False) is expected


def test_the_first_that_matches_counts() -> None:
    found = Patterns({"v_proj": 1, "q_proj": 2, ".*": 3}, "x")
    assert [found.value(module, 0) for module in ("a.v_proj", "a.q_proj", "a.k_proj")] == [1, 2, 3]
    assert Patterns({}, "x").value("q_proj", 8) == 8


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("[", "is no regular expression"),
        ("(", "is no regular expression"),
        ("*", "is no regular expression"),
        ("a" * 501, "is longer, repeats more or looks further"),
        ("(?:(?:a{1000}){1000}){1000}", "is longer, repeats more or looks further"),  # a program of 10^9 steps
        ("a{99999999999999999999}", "is longer, repeats more or looks further"),
        ("((a{0,40}){0,40}){0,40}", "is longer, repeats more or looks further"),
        ("(?:(?:a{1000,}){1000,}){1000,}", "is longer, repeats more or looks further"),
        ("b{0}(?:(?:a{1000}){1000}){1000}", "is longer, repeats more or looks further"),
        ("(?:a{ 1000 }){1000 , }", "is longer, repeats more or looks further"),
        ("(?:abc){e<=5}", "looks further"),
        ("([ab]{e})*", "looks further"),  # takes gigabytes
        (r"(a)\\1", "looks further"),
        (r"\\p{L}", "looks further"),
        (r"\\N{LATIN SMALL LETTER A}", "looks further"),
        ("(?=.*x)", "looks further"),
        ("(?R)", "looks further"),
        ("(?P<n>a)(?P=n)", "looks further"),
        ("(?e)(?:abc){e<=5}", "looks further"),
    ],
)
def test_what_no_name_needs_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"^adapter_config.json: alpha_pattern: .*{message}") as caught:
        Patterns({expression: 1}, "adapter_config.json: alpha_pattern")
    assert "write the names of the modules in full" in str(caught.value)


BOMBS = ["((.*)*)*x", "(.*a){2}(.*a){2}(.*a){2}(.*a){2}(.*a){2}(.*a){2}(.*a){2}x", "(a?){400}a{2}x", "(.*b?)*(.*)*x"]


@pytest.mark.parametrize("expression", BOMBS)
def test_what_would_match_for_ever_ends(monkeypatch: pytest.MonkeyPatch, expression: str) -> None:
    monkeypatch.setattr(patterns, "_SECONDS", 0.05)
    found = Patterns({expression: 1}, "x")
    try:
        assert found.value("a" * 1500 + "xa", 0) == 0
    except CheckpointError as error:
        assert "take longer than 0.05 seconds to match" in str(error)  # noqa: PT017 - either way is right


def test_all_patterns_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 2.0, 3.5])
    monkeypatch.setattr(patterns.time, "monotonic", lambda: next(now))
    values: dict[str, Any] = {"a": 1, "b": 2}
    found = Patterns(values, "x")
    with pytest.raises(CheckpointError, match="its patterns take longer than 3 seconds"):
        found.value("c", 0)


@pytest.mark.parametrize(
    "pattern", ["q_proj", r"layers\.0\.", "(?!x)a", r"(a)\1", "[", "", ".*", r"a{2,3}b?", "(?P<n>a)"]
)
def test_the_users_own_patterns_match_as_in_python(pattern: str) -> None:
    names = ("layers.0.q_proj", "aa", "aab", "", "xlayers10")
    try:
        expected = re.compile(pattern)
    except re.error:
        with pytest.raises(PairingError, match="is not a regular expression"):
            NamePattern(pattern, error=PairingError)
        return
    found = NamePattern(pattern, error=PairingError)
    assert [found.search(name) for name in names] == [bool(expected.search(name)) for name in names]
    assert [found.fullmatch(name) for name in names] == [bool(expected.fullmatch(name)) for name in names]


@pytest.mark.parametrize("pattern", ["((.*)*)*x", "(a|a)*b", "(.*.*.*.*)*x"])
def test_the_users_own_patterns_end_too(pattern: str) -> None:
    started = time.monotonic()
    found = NamePattern(pattern, error=PairingError)
    with contextlib.suppress(PairingError):
        for _ in range(200):
            found.search("a" * 60)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("pattern", ["a" * 501, "(a{1000}){1000}", "(?:abc){e<=3}"])
def test_the_users_own_patterns_are_bounded(pattern: str) -> None:
    with pytest.raises(RecipeError, match="is longer or repeats more than a name needs"):
        NamePattern(pattern, error=RecipeError)
