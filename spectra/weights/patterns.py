"""Regular expressions on names, a stranger's and the user's: matched in bounded time and memory."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import regex

from ..errors import CheckpointError, SpectraError

# What names of modules are matched with has no more; what has more can be made to take all time or memory.
_LONGEST = 500
_MOST_REPEATS = 1_000
_COUNT = re.compile(r"\{([0-9]*),?([0-9]*)\}")
# Groups that look around, refer back or name, letters with a meaning but \d, \w, \s and \b, and braces around no count:
# with those, what the library adds to Python's own, it matches nearly alike, and takes gigabytes to.
_NOT_OF_NAMES = re.compile(r"\(\?(?!:)|\\(?![dwsDWSb])[A-Za-z0-9]|\{(?![0-9]*,?[0-9]*\})")
# The user's own, and a recipe's, may look around and refer back; what is fuzzy in braces they may not.
_FUZZY = re.compile(r"(?<!\\)\{(?![0-9]*,?[0-9]*\})")
_SECONDS = 3.0  # for all patterns of an adapter on all of its modules, which take milliseconds


class NamePattern:
    """One regular expression for names, as the user or a recipe gives it.

    Parameters
    ----------
    pattern : str
    error : type of SpectraError
        What is raised where it is no regular expression, repeats more than a name needs, or takes too long to match.

    Examples
    --------
    >>> NamePattern("q_proj$", error=CheckpointError).search("layers.0.q_proj")
    True
    """

    def __init__(self, pattern: str, *, error: type[SpectraError]) -> None:
        self._pattern, self._error_type = pattern, error
        if repeats_too_much(pattern) or _FUZZY.search(pattern):
            raise self._error("is longer or repeats more than a name needs; write it shorter")
        try:
            re.compile(pattern)  # what Python takes is what is documented; the other library takes more
            self._compiled = regex.compile(pattern, flags=regex.VERSION0)
        except (re.error, regex.error, ValueError, OverflowError, RecursionError) as reason:
            raise self._error(f"is not a regular expression: {reason}") from reason
        self._left = _SECONDS

    def search(self, name: str) -> bool:
        """Whether it matches anywhere in a name."""
        return self._timed(self._compiled.search, name)

    def fullmatch(self, name: str) -> bool:
        """Whether it matches the whole of a name."""
        return self._timed(self._compiled.fullmatch, name)

    def _timed(self, match: Any, name: str) -> bool:
        started = time.monotonic()
        try:
            return match(name, timeout=max(self._left, 1e-3)) is not None
        except TimeoutError:
            raise self._error(f"takes longer than {_SECONDS:g} seconds to match names; write it simpler") from None
        finally:
            self._left -= time.monotonic() - started

    def _error(self, what: str) -> SpectraError:
        return self._error_type(f"{self._pattern[:60]!r} {what}")


def repeats_too_much(pattern: str) -> bool:
    """Whether a pattern is longer, or repeats more, than any for names: such can take all memory to compile."""
    counts = _COUNT.findall(pattern[: _LONGEST + 1])
    repeats = math.prod(max(1, int(number)) for pair in counts for number in pair if number)
    return len(pattern) > _LONGEST or repeats > _MOST_REPEATS


class Patterns:
    """Regular expressions for the names of modules, by PEFT's rule.

    An expression matches the end of a name, from a dot on; of several the first counts.

    Parameters
    ----------
    values : dict of str to Any
        By expression.
    source : str
        Where they are from, for messages.

    Raises
    ------
    CheckpointError
        If one is no regular expression, or has what no pattern for names has.
    """

    def __init__(self, values: dict[str, Any], source: str) -> None:
        self._source = source
        self._until = time.monotonic() + _SECONDS
        self._compiled = [(self._compile(pattern), value) for pattern, value in values.items()]

    def value(self, name: str, default: Any) -> Any:
        """What stands by the first expression that matches; CheckpointError where that takes too long."""
        for pattern, value in self._compiled:
            try:
                if pattern.match(name, timeout=self._left()):
                    return value
            except TimeoutError:
                raise self._too_long() from None
        return default

    def _compile(self, pattern: str) -> Any:
        if repeats_too_much(pattern) or _NOT_OF_NAMES.search(pattern):
            raise self._error(f"{pattern[:60]!r} is longer, repeats more or looks further than a name needs")
        self._left()
        try:
            return regex.compile(rf"(?:.*\.)?(?:{pattern})$", flags=regex.VERSION0)
        except (regex.error, ValueError, OverflowError, RecursionError) as error:
            raise self._error(f"{pattern[:60]!r} is no regular expression ({error})") from None

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise self._too_long()
        return left

    def _too_long(self) -> CheckpointError:
        return self._error(f"its patterns take longer than {_SECONDS:g} seconds to match")

    def _error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._source}: {what}; write the names of the modules in full")
