from __future__ import annotations

from pathlib import Path

import pytest

from spectra import Recipe, RecipeError
from spectra.studies.grid import load_grid, recipes, run_name

SHARED = {"base": "b", "task": "t.csv"}


def test_every_combination_of_the_listed_values() -> None:
    grid = recipes({**SHARED, "rank": [1, 8], "learning_rate": [1e-3, 2e-3], "seed": [0, 1, 2]})
    assert len(grid) == 12
    assert {(r.rank, r.learning_rate, r.seed) for r in grid.values()} == {
        (rank, rate, seed) for rank in (1, 8) for rate in (1e-3, 2e-3) for seed in (0, 1, 2)
    }


def test_full_tuning_has_no_rank_and_is_run_once() -> None:
    grid = recipes({**SHARED, "method": ["full", "lora"], "rank": [1, 8, 64], "alpha": "r"})
    assert [(r.method, r.rank, r.alpha) for r in grid.values()] == [
        ("full", 8, None),
        ("lora", 1, 1.0),
        ("lora", 8, 8.0),
        ("lora", 64, 64.0),
    ]


@pytest.mark.parametrize(("rule", "alpha"), [("2r", 8.0), ("r", 4.0), ("0.5r", 2.0), (8, 8), (3.5, 3.5)])
def test_alpha_is_a_number_or_a_rule(rule: object, alpha: float) -> None:
    (recipe,) = recipes({**SHARED, "rank": 4, "alpha": rule}).values()
    assert recipe.alpha == alpha


def test_a_run_has_the_same_name_in_every_grid_it_is_in() -> None:
    small, large = (recipes({**SHARED, "rank": ranks}) for ranks in ([8], [1, 8, 64]))
    assert set(small) < set(large)
    one, other = Recipe(**SHARED), Recipe(**SHARED, max_length=64)
    assert run_name(one) != run_name(other)


def test_a_file_holds_recipe_fields_and_the_sweeps_own_options(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("base: b\ntask: t.csv\nrank: [1, 8]\nk: 5\ntext: general.txt\n")
    fields, options = load_grid(path)
    assert fields == {"base": "b", "task": "t.csv", "rank": [1, 8]}
    assert options == {"k": 5, "text": "general.txt"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranks": [1]}, "no field 'ranks'; did you mean 'rank'"),
        ({"alpha": "twice"}, "neither a number nor a rule"),
        ({"variants": ["full"]}, "not a mapping"),
        ({"rank": ["a"]}, "rank must be of type int"),
        ({"rank": "8", "alpha": "2r"}, "rank must be of type int"),
        ({"rank": []}, "rank: an empty list"),
        ({"variants": 5}, "variants: a list"),
        ({"alpha": ".r"}, "neither a number nor a rule"),
        ({"text_fields": None}, "text_fields must be of type"),
        ({"rank": 10**5001}, "rank must be above zero and at most"),
        ({"learning_rate": ["1e400"]}, "learning_rate must be above zero and at most"),
        (
            {"seed": list(range(2000)), "rank": list(range(1, 2001)), "alpha": list(range(1, 2001))},
            "a grid of 8,000,000,000 runs",
        ),
        ({"variants": [{"seed": list(range(9000))}] * 3}, "a grid of 18,000 runs or more"),
    ],
)
def test_mistakes(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes({**SHARED, **fields})


def test_unreadable_files(tmp_path: Path) -> None:
    options = ("epsilon: '0.5'", "epsilon: null", "objective: nonsense", "length: abc", "k: 0", "epsilon: [0.5, 2]")
    wrong = [(option, f"{option.split(':')[0]} must be") for option in options]
    for content, message in (("[1, 2]", "is a mapping"), ("a: [", "cannot be read as YAML"), *wrong):
        (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(RecipeError, match=message):
            load_grid(tmp_path / "x.yaml")
    with pytest.raises(RecipeError, match="no such file"):
        load_grid(tmp_path / "absent.yaml")
