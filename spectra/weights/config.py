"""What a config says, each value checked for type and range where it is read."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

from ..errors import CheckpointError
from ..text_files import read_json_object

_MOST_HEADS = 1 << 20  # and whatever else is counted in a config


class Config(dict[str, Any]):
    """The values of a ``config.json``, an ``adapter_config.json`` or a live model.

    What is missing, and mostly what is null, has its default; what is there and makes no sense is an error, never a
    guess.

    Parameters
    ----------
    values : Mapping
    source : str
        Where they are from, for messages.

    Examples
    --------
    >>> Config({"n_head": 12}, "config.json").count("num_attention_heads", "n_head", default=1)
    12
    """

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        super().__init__(values)
        self.source = source

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Config:
        """The same, of any mapping."""
        return values if isinstance(values, Config) else cls(values, "the config")

    def changed(self, name: str, value: Any) -> Config:
        """The same with another value under this name."""
        return Config({**self, name: value}, self.source)

    @overload
    def count(self, *names: str, default: int) -> int: ...
    @overload
    def count(self, *names: str, default: None) -> int | None: ...
    def count(self, *names: str, default: int | None) -> int | None:
        """A whole number from 1 on, under the first of these names that is there."""
        for name in names:
            value = self.get(name)
            if value is not None:
                if type(value) is not int or not 1 <= value <= _MOST_HEADS:
                    raise self.error(name, f"a whole number from 1 to {_MOST_HEADS}")
                return value
        return default

    def number(self, name: str, *, default: float, most: float) -> float:
        """A number that is neither infinite nor larger than `most`, of either sign; null is none."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= most:
            raise self.error(name, f"a number from {-most:g} to {most:g}")
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.error(name, "true or false")
        return default if value is None else value

    def text(self, name: str) -> str:
        """Text, empty where there is none."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise self.error(name, "text")
        return value or ""

    def section(self, name: str) -> Config:
        """The values inside this one, none where it is not there."""
        value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(name, "an object with values in it")
        return Config(value or {}, f"{self.source}: {name}")

    def error(self, name: str, wanted: str) -> CheckpointError:
        """What to say of a value that is not what was wanted."""
        shown = name if name.isprintable() and len(name) < 100 else reprlib.repr(name)
        return CheckpointError(
            f"{self.source}: {shown} is {reprlib.repr(self[name])}, and has to be {wanted}; correct it or save it again"
        )


def read_config(path: Path) -> Config:
    """The JSON object in a file.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or holds anything else.
    """
    return Config(read_json_object(path, error=CheckpointError), str(path))
