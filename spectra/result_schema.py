"""What a saved comparison must hold, whatever was done to the file since: types, lengths and ranges, field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_MOST = 2**31  # of a shape, a layer or a k
_LARGEST = 1e304
_ROUNDING = 1e-6  # by which a cosine of a file in single precision may lie on the other side of epsilon

Check = Callable[[Any], bool]


def is_whole(value: Any, least: int = 0) -> bool:
    """A whole number from `least` on; a CSV or Parquet file may hold it as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return value == int(value) and least <= value < _MOST


def is_number(value: Any) -> bool:
    """A number that is not missing, and small enough for a mean over all matrices."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def is_missing(value: Any) -> bool:
    """Nothing, as JSON and as pandas write it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_cosine(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1.01


def _is_epsilon(value: Any) -> bool:
    return is_number(value) and 0 < value <= 1


_HEADER: dict[str, tuple[str, Check]] = {
    "base": ("a text", _is_text),
    "tuned": ("a text", _is_text),
    "k": ("a whole number above zero", lambda value: is_whole(value, 1)),
    "epsilon": ("a cosine in (0, 1]", _is_epsilon),
    "side": ("left, right or both", lambda value: isinstance(value, str) and value in ("left", "right", "both")),
    "matrices": ("a list of objects", lambda value: _is_list_of(value, dict)),
    "skipped": ("a list of objects", lambda value: _is_list_of(value, dict)),
    "provenance": ("an object", lambda value: isinstance(value, dict)),
}
_SKIPPED: dict[str, tuple[str, Check]] = {
    "name": ("a text", _is_text),
    "reason": ("a text that is not empty", lambda value: isinstance(value, str) and value != ""),
    "problem": ("true or false", lambda value: isinstance(value, bool)),
}
_TEXTS = ("name", "module", "method", "note")
_SHAPE = ("rows", "cols")
# One entry a vector: what each must be. The bounds and the novelty are missing in older results.
_PER_VECTOR: dict[str, tuple[str, Check, bool]] = {
    "max_cosine": ("cosines", _is_cosine, True),
    "max_cosine_lower": ("cosines", _is_cosine, False),
    "max_cosine_upper": ("cosines", _is_cosine, False),
    "nearest": ("whole numbers from -1 on", lambda value: is_whole(value, -1), True),
    "singular_values": ("numbers from zero on", lambda value: is_number(value) and value >= 0, True),
    "base_singular_values": ("numbers from zero on", lambda value: is_number(value) and value >= 0, True),
    "novelty": ("shares", _is_cosine, False),
}
_LATER = [f"{name}{side}" for name, (_, _, needed) in _PER_VECTOR.items() if not needed for side in ("", "_right")]
# Numbers, or nothing where a matrix has none: of a zero base, say. Any further column is one as well.
_NUMBERS = (
    "num_intruders",
    "intruder_energy_share",
    "null_cosine",
    "null_cosine_q99",
    "null_intruder_rate",
)
_NUMBERS_OF_ALL = ("layer", "effective_rank", "stable_rank", "relative_delta", "spike_ratio")


def check_comparison(document: Mapping[str, Any]) -> None:
    """Raise ValueError, in a clause that names the field, for a document that is no saved comparison."""
    _check_fields("", document, _HEADER)
    for number, entry in enumerate(document["skipped"], start=1):
        _check_fields(f"skipped {number}: ", entry, _SKIPPED)
    suffixes = ("", "_right") if document["side"] == "both" else ("",)
    names = set()
    known = {name for row in document["matrices"] for name in row}
    for number, row in enumerate(document["matrices"], start=1):
        where = f"matrix {number}: "
        # Older results lack some, and then in every row.
        if lacking := [name for name in _LATER if name in known and name not in row]:
            raise ValueError(f"{where}{lacking[0]} is missing")
        _check_row(where, row, document["k"], document["epsilon"], suffixes)
        if row["name"] in names:
            raise ValueError(f"{where}its name stands twice")
        names.add(row["name"])
    _check_provenance(document)


def _check_fields(where: str, values: Mapping[str, Any], fields: Mapping[str, tuple[str, Check]]) -> None:
    for name, (words, fits) in fields.items():
        if name not in values:
            raise ValueError(f"{where}{name} is missing")
        if not fits(values[name]):
            raise ValueError(f"{where}{name} is not {words}")


def _check_provenance(document: Mapping[str, Any]) -> None:
    provenance = document["provenance"]
    epsilons = provenance.get("epsilons", [document["epsilon"]])
    if not (
        _is_list_of(epsilons, (int, float)) and all(map(_is_epsilon, epsilons)) and document["epsilon"] in epsilons
    ):
        raise ValueError("epsilons of the provenance are not cosines that the epsilon is one of")
    try:
        json.dumps(provenance, allow_nan=False)
    except ValueError as error:
        raise ValueError("provenance holds NaN or Infinity") from error
    if not isinstance(provenance.get("failed", ""), str):
        raise ValueError("failed of the provenance is not a text")
    if not document["matrices"] and not (provenance.get("failed") and document["skipped"]):
        raise ValueError("it has no matrices")


def _check_row(where: str, row: Mapping[str, Any], k: int, epsilon: float, suffixes: Iterable[str]) -> None:
    vectors = {f"{name}{suffix}" for suffix in suffixes for name in (*_PER_VECTOR, "intruders", "cosines")}
    numbers = {*_NUMBERS_OF_ALL, *(f"{name}{suffix}" for suffix in suffixes for name in _NUMBERS)}
    if lacking := [name for name in (*_TEXTS, *_SHAPE, *sorted(numbers)) if name not in row]:
        raise ValueError(f"{where}{lacking[0]} is missing")
    for name, value in row.items():
        if name in _TEXTS:
            fits, words = isinstance(value, str), "a text"
        elif name in _SHAPE:
            fits, words = is_whole(value, 1), "a whole number above zero"
        elif name == "layer" or name.startswith("num_intruders"):
            fits, words = is_missing(value) or is_whole(value), "a whole number or nothing"
        elif name not in vectors:
            fits, words = is_missing(value) or is_number(value), "a finite number or nothing"
        else:
            continue
        if not fits:
            raise ValueError(f"{where}{name} is not {words}")
    for suffix in suffixes:
        _check_vectors(where, row, suffix, k, epsilon)


def _check_vectors(where: str, row: Mapping[str, Any], suffix: str, k: int, epsilon: float) -> None:
    """Those of one side: as many of each, and as many intruders as are said and as the cosines make."""
    number = len(row[f"max_cosine{suffix}"]) if isinstance(row.get(f"max_cosine{suffix}"), list) else 0
    if number > min(k, row["rows"], row["cols"]):
        raise ValueError(f"{where}max_cosine{suffix} has {number} entries, more than there are vectors")
    for column, (words, fits, is_needed) in _PER_VECTOR.items():
        name = f"{column}{suffix}"
        if name not in row and not is_needed:
            continue
        cells = row.get(name)
        if not isinstance(cells, list) or len(cells) != number or not all(map(fits, cells)):
            raise ValueError(f"{where}{name} is not a list of {number} {words}")
    cosines = row.get(f"cosines{suffix}") or []
    if (
        not _is_list_of(cosines, list)
        or not bool(number) <= len(cosines) <= k
        or not all(len(line) == number and all(map(_is_cosine, line)) for line in cosines)
    ):
        raise ValueError(f"{where}cosines{suffix} is not a table of cosines, {number} in a line")
    lower = row.get(f"max_cosine_lower{suffix}", row[f"max_cosine{suffix}"])
    upper = row.get(f"max_cosine_upper{suffix}", row[f"max_cosine{suffix}"])
    if any(low > high + _ROUNDING for low, high in zip(lower, upper, strict=True)):
        raise ValueError(f"{where}max_cosine_lower{suffix} is above max_cosine_upper{suffix}")
    intruders, count = row.get(f"intruders{suffix}"), row[f"num_intruders{suffix}"]
    if not isinstance(intruders, list) or not all(is_whole(j) and j < number for j in intruders):
        raise ValueError(f"{where}intruders{suffix} is not a list of places below {number}")
    if len(set(intruders)) < len(intruders) or (not is_missing(count) and count != len(intruders)):
        raise ValueError(f"{where}num_intruders{suffix} is not the number of intruders{suffix}")
    surely, perhaps = (sum(high < limit for high in upper) for limit in (epsilon - _ROUNDING, epsilon + _ROUNDING))
    if not is_missing(count) and not surely <= count <= perhaps:
        raise ValueError(f"{where}num_intruders{suffix} is not what its cosines make at ε = {epsilon:g}")


def _is_list_of(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(entry, kinds) for entry in value)
