"""Whatever is done to a saved result: it is refused in one sentence, or everything that takes results takes it."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra import Comparison, ResultError, SpectraError, compare, read_comparisons
from spectra.frames import VECTOR_COLUMNS
from spectra.results import WRITERS, to_json
from tests.oracles import pico_state, tuned_state

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    base = pico_state()
    base["unlayered.proj.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    base["layers.0.mlp.up_proj.weight"] *= 0
    found: dict[str, Any] = json.loads(to_json([compare(base, tuned_state(base, scale=1.0), k=4, epsilon=[0.5, 0.8])]))
    return found


def _row(edit: Edit) -> Edit:
    return lambda document: edit(document["matrices"][0])


def _set(name: str, value: Any) -> Edit:
    return lambda holder: holder.__setitem__(name, value)


REFUSED: dict[str, Edit] = {
    "no base": lambda d: d.pop("base"),
    "a base that is no text": _set("base", 3),
    "k of zero": _set("k", 0),
    "k of text": _set("k", "4"),
    "k of true": _set("k", True),
    "half a k": _set("k", 4.5),
    "epsilon of zero": _set("epsilon", 0),
    "epsilon above one": _set("epsilon", 1.5),
    "epsilon that was not asked for": _set("epsilon", 0.6),
    "a side there is not": _set("side", "up"),
    "a side that was not measured": _set("side", "both"),
    "no matrices": _set("matrices", []),
    "matrices that are no list": _set("matrices", {"a": 1}),
    "a matrix that is no object": lambda d: d["matrices"].append(3),
    "a matrix that stands twice": lambda d: d["matrices"].append(d["matrices"][0]),
    "skipped that is no list": _set("skipped", None),
    "a skipped entry without a reason": lambda d: d["skipped"][0].pop("reason"),
    "a problem that is no boolean": lambda d: d["skipped"][0].update(problem="yes"),
    "no provenance": lambda d: d.pop("provenance"),
    "a provenance that is text": _set("provenance", "x"),
    "epsilons that are text": lambda d: d["provenance"].update(epsilons="0.5"),
    "epsilons of text": lambda d: d["provenance"].update(epsilons=["0.5"]),
    "an epsilon that the bounds leave open": lambda d: (
        d["provenance"]["epsilons"].append(0.35),
        d["matrices"][-1].update(max_cosine=[0.2] * 4, max_cosine_lower=[0.1] * 4, max_cosine_upper=[0.4] * 4, num_intruders=4, intruders=[0, 1, 2, 3]),
    ),
    "a schema of text": _set("schema_version", "1"),
    "a list": lambda d: d.update(schema_version=[1]),
    "no name": _row(lambda r: r.pop("name")),
    "a name of null": _row(_set("name", None)),
    "a module that is a number": _row(_set("module", 3)),
    "a layer below zero": _row(_set("layer", -1)),
    "a layer of text": _row(_set("layer", "0")),
    "a layer beyond any": _row(_set("layer", 2**63)),
    "no rows": _row(_set("rows", 0)),
    "rows of null": _row(_set("rows", None)),
    "a count below zero": _row(_set("num_intruders", -1)),
    "another count": _row(lambda r: r.update(num_intruders=r["num_intruders"] + 1)),
    "intruders that the cosines are not": _row(_set("intruders", [0, 1, 2, 3])),
    "an intruder beyond the vectors": _row(lambda r: r.update(intruders=[17], num_intruders=1)),
    "a fraction of an intruder": _row(lambda r: r.update(intruders=[0.5], num_intruders=1)),
    "intruders of null": _row(_set("intruders", None)),
    "one matrix without lower bounds": _row(lambda r: r.pop("max_cosine_lower")),
    "one matrix without upper bounds": _row(lambda r: r.pop("max_cosine_upper")),
    "one matrix without novelty": _row(lambda r: r.pop("novelty")),
    "fewer cosines": _row(lambda r: r["max_cosine"].pop()),
    "more cosines than vectors": _row(lambda r: [r[c].extend(r[c]) for c in ("max_cosine", "nearest")]),
    "a cosine of text": _row(lambda r: r["max_cosine_upper"].__setitem__(0, "x")),
    "a cosine of null": _row(lambda r: r["max_cosine_upper"].__setitem__(0, None)),
    "a cosine above one": _row(lambda r: r["max_cosine"].__setitem__(0, 1.5)),
    "bounds the wrong way round": _row(lambda r: r["max_cosine_lower"].__setitem__(0, 1.0)),
    "cosines that are a number": _row(_set("max_cosine", 0.5)),
    "a singular value below zero": _row(lambda r: r["singular_values"].__setitem__(0, -1.0)),
    "an infinite singular value": _row(lambda r: r["singular_values"].__setitem__(0, math.inf)),
    "no base singular values": _row(lambda r: r.pop("base_singular_values")),
    "a nearest of text": _row(lambda r: r["nearest"].__setitem__(0, "0")),
    "a table of cosines with a short line": _row(lambda r: r["cosines"][0].pop()),
    "a table of cosines of numbers": _row(_set("cosines", [0.1, 0.2])),
    "an empty table of cosines": _row(_set("cosines", [])),
    "an effective rank of text": _row(_set("effective_rank", "many")),
    "an infinite effective rank": _row(_set("effective_rank", math.inf)),
    "an effective rank that no mean can be taken of": _row(_set("effective_rank", 1e305)),
    "a provenance with infinity": lambda d: d["provenance"].update(seen=[math.inf]),
    "no effective rank": _row(lambda r: r.pop("effective_rank")),
    "a further column of text": _row(_set("further", "x")),
    "a further column of lists": _row(_set("further", [1])),
}  # fmt: skip


@pytest.mark.parametrize("edit", REFUSED.values(), ids=REFUSED.keys())
def test_an_edited_result_is_refused_in_a_sentence(tmp_path: Path, document: dict[str, Any], edit: Edit) -> None:
    path = tmp_path / "r.json"
    edited = copy.deepcopy(document)
    edit(edited)
    path.write_text(json.dumps(edited))
    with pytest.raises(ResultError, match=r"r\.json: not a result of spectra compare \(.*\), nor a study") as caught:
        read_comparisons(path)
    assert "\n" not in str(caught.value)


TAKEN: dict[str, Edit] = {
    "nothing": lambda d: None,
    "a further number": _row(_set("further", 1.5)),
    "a measure that is missing": _row(_set("effective_rank", None)),
    "no bounds, as in the first results": lambda d: [
        row.pop(f"max_cosine_{bound}") for row in d["matrices"] for bound in ("lower", "upper")
    ],
    "no counts": lambda d: [row.update(num_intruders=None, intruders=[]) for row in d["matrices"]],
    "no vectors": lambda d: [
        row.update({"num_intruders": None, "cosines": []} | {name: [] for name in (*VECTOR_COLUMNS, "intruders")})
        for row in d["matrices"]
    ],
    "a comparison that failed": lambda d: (
        d.update(matrices=[]), d["provenance"].update(failed="all is equal")
    ),
    "tiny values": lambda d: [
        row.update({name: [value * scale for value in row[name]] for name in ("singular_values", "base_singular_values")})
        for row, scale in zip(d["matrices"], (1e-22, 1e-45, 1e-200, 1e-320, 0.0), strict=True)
    ],
    "values without bound": lambda d: [
        row.update({name: [value * 1e300 for value in row[name]] for name in ("singular_values", "base_singular_values")})
        for row in d["matrices"]
    ],
    "measures without bound": lambda d: [
        row.update(relative_delta=1e303, spike_ratio=1e303, effective_rank=1e303, stable_rank=1e-308)
        for row in d["matrices"]
    ],
    "a large k": _set("k", 2**30),
    "a large layer": _row(_set("layer", 2**30)),
    "formulas of TeX": lambda d: [row.update(name=f"${i}\\frac{{$x^", module="$\\frac$") for i, row in enumerate(d["matrices"])],
    "a name of a line": lambda d: d.update(tuned="_a\n$b$/model.pt", base="\x1b[2J"),
    "words of other scripts": lambda d: d.update(tuned="模型", base="نموذج"),
    "a provenance of anything": lambda d: d["provenance"].update(seen=[None, {"a": [1.5]}], dropped_prefixes=3),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Glyph")  # of a script that matplotlib's font has not
@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_read_everything_takes(tmp_path: Path, document: dict[str, Any], kind: str) -> None:
    edited = copy.deepcopy(document)
    TAKEN[kind](edited)
    (tmp_path / "r.json").write_text(json.dumps(edited))
    for result in read_comparisons(tmp_path / "r.json"):
        use(
            result,
            tmp_path,
            draw=not kind.startswith(("a further", "a measure", "no bounds", "a large layer", "a provenance")),
        )


def use(result: Comparison, folder: Path, *, draw: bool) -> None:
    """Everything that takes a result."""
    from spectra.plots import PLOTS
    from spectra.reporting import report

    assert result._repr_html_()
    assert result.summary() in repr(result)
    for suffix in (".json", ".csv", ".parquet"):
        result.write(folder / f"again{suffix}")
        again = Comparison.read(folder / f"again{suffix}")
        assert again.summary() == result.summary()
    WRITERS["markdown"]([result])
    assert "</html>" in report([result])
    if result.failed:
        return
    assert len(result.vectors) == sum(map(len, result.matrices["max_cosine"])) * (1 + (result.side == "both"))
    result.at_chance_bounds()
    if draw:
        for plot, of_one_matrix in PLOTS.values():
            if of_one_matrix and not len(result.vectors):
                continue  # there is nothing to draw, which is said
            plot(result).figure.savefig(folder / "figure.png", dpi=30)


def test_mutated_results_are_refused_or_taken(tmp_path: Path, document: dict[str, Any]) -> None:
    generator = random.Random(0)
    path = tmp_path / "r.json"
    taken = 0
    cases = int(os.environ.get("SPECTRA_CASES", "40"))
    for number in range(cases):
        edited = mutated(copy.deepcopy(document), generator)
        path.write_text(json.dumps(edited))
        try:
            results = read_comparisons(path)
        except SpectraError:
            continue
        taken += 1
        for result in results:
            use(result, tmp_path, draw=number % 20 == 0)
    assert 0 < taken < cases


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 1e-22, 1e-320, 1e308, math.nan, math.inf, -math.inf, 2**31, 2**63, "", "x", "=1", "\x1b[2J", "$x$", [], {}, [1], [[]], [0.1] * 4, {"a": 1},
]  # fmt: skip


def mutated(document: Any, generator: random.Random) -> Any:
    """The same with one to three values anywhere in it changed, removed, doubled or put elsewhere."""
    for _ in range(generator.randint(1, 3)):
        holder, key = _somewhere(document, generator)
        if holder is None:
            return generator.choice(VALUES)
        kind = generator.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 2 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * generator.choice([-1, 0, 0.5, 2, 1e-300, 1e300])
        else:
            holder[key] = copy.deepcopy(generator.choice(VALUES))
    return document


def _somewhere(value: Any, generator: random.Random) -> tuple[Any, Any]:
    """A list or dict within, and a key of it."""
    holder = key = None
    while isinstance(value, (list, dict)) and value and (holder is None or generator.random() < 0.85):
        holder = value
        key = generator.choice(list(holder)) if isinstance(holder, dict) else generator.randrange(len(holder))
        value = holder[key]
    return holder, key
