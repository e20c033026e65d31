"""What a checkpoint's own files say it was tuned from. A hint, never a proof: names are what somebody once typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import SpectraError
from .text_files import parse_yaml, read_json_object, read_text, read_yaml


def says_it_was_tuned_from(tuned: str, base: str) -> bool:
    """Whether the files of one checkpoint name the other as its base: by its path, or by the last part of its name."""
    names = _names_of_base(Path(tuned))
    return any(name == base or Path(name).name == Path(base).name for name in names)


def _names_of_base(folder: Path) -> list[str]:
    found: list[str] = []
    for file, (read, field) in _FIELDS.items():
        try:
            values = read(folder / file)
        except SpectraError:  # what is wrong with it, its own reader says
            continue
        named = values.get(field) if isinstance(values, dict) else None
        # A model card may name several.
        found += [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str) and name]
    return found


def _model_card(path: Path) -> Any:
    """The values at the top of a model card, between lines of three dashes."""
    parts = read_text(path).split("---\n", 2)
    return parse_yaml(parts[1], str(path)) if len(parts) == 3 and not parts[0] else {}


# A file beside the weights, how it is read, and the field of it that names the base.
_FIELDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "adapter_config.json": (read_json_object, "base_model_name_or_path"),
    "config.json": (read_json_object, "_name_or_path"),
    "recipe.yaml": (read_yaml, "base"),
    "README.md": (_model_card, "base_model"),
}
