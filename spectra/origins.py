"""What a checkpoint's own files say it was tuned from. A hint, never a proof: names are what somebody once typed."""

from __future__ import annotations

from pathlib import Path

from .errors import SpectraError
from .text_files import read_json_object, read_yaml

# A file beside the weights, and the field of it that names the base.
_FIELDS = {
    "adapter_config.json": "base_model_name_or_path",
    "config.json": "_name_or_path",
    "recipe.yaml": "base",
}


def says_it_was_tuned_from(tuned: str, base: str) -> bool:
    """Whether the files of one checkpoint name the other as its base: by its path, or by the last part of its name."""
    names = _names_of_base(Path(tuned))
    return any(name == base or Path(name).name == Path(base).name for name in names)


def _names_of_base(folder: Path) -> list[str]:
    found = []
    for file, field in _FIELDS.items():
        try:
            values = (read_yaml if file.endswith(".yaml") else read_json_object)(folder / file)
        except SpectraError:  # what is wrong with it, its own reader says
            continue
        if isinstance(values, dict) and isinstance(values.get(field), str) and values[field]:
            found.append(values[field])
    return found
