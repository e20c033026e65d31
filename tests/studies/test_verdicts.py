"""Every rule on tables whose truth is known: planted, reversed, null; censored; with nested rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from spectra.studies.verdicts import (
    CANNOT_TELL,
    DOES_NOT_HOLD,
    HOLDS,
    Verdict,
    difference,
    equality,
    mean,
    steadiness,
    together,
    trend,
)

TABLES = 300
Draw = Callable[[np.random.Generator, float], Verdict]


def series(values: np.ndarray | list[float]) -> pd.Series:
    return pd.Series(np.asarray(values, dtype=float), range(len(values)))


def two_groups(rng: np.random.Generator, effect: float, n: int = 5, m: int = 5) -> Verdict:
    """In standard deviations; claimed: three."""
    return difference(
        "a", series(rng.normal(size=n) + effect), series(2 * rng.normal(size=m)), claimed=3.0, measure="{}"
    )


def three_seeds(rng: np.random.Generator, effect: float) -> Verdict:
    """As most settings have; claimed: six standard deviations."""
    a, b = series(rng.normal(size=3) + effect), series(rng.normal(size=3))
    return difference("a", a, b, claimed=6.0, measure="{}")


def counts(rng: np.random.Generator, effect: float) -> Verdict:
    """Poisson counts of three and five seeds; claimed: eight more."""
    a, b = (series(rng.poisson(4.0 + max(more, 0.0), n).astype(float)) for more, n in ((effect, 5), (-effect, 3)))
    return difference("a", a, b, claimed=8.0, measure="{}")


def paired(rng: np.random.Generator, effect: float) -> Verdict:
    return mean("a", series(rng.normal(size=5) + effect), claimed=2.0, measure="{}")


def falling(rng: np.random.Generator, effect: float) -> Verdict:
    return mean("a", series(rng.normal(size=5) - effect), claimed=-2.0, measure="{}")


def ranks(rng: np.random.Generator, effect: float) -> Verdict:
    """27 settings with this correlation; claimed: 0.6."""
    x, noise = rng.normal(size=(2, 27))
    return trend("a", series(x), series(effect * x + math.sqrt(1 - effect**2) * noise), claimed=0.6)


def ranks_down(rng: np.random.Generator, effect: float) -> Verdict:
    x, noise = rng.normal(size=(2, 27))
    return trend("a", series(x), series(-effect * x + math.sqrt(1 - effect**2) * noise), claimed=-0.6)


def ranks_beyond(rng: np.random.Generator, effect: float) -> Verdict:
    """Both sides follow a third that is held fixed."""
    held, x, noise = rng.normal(size=(3, 27))
    y = effect * x + math.sqrt(1 - effect**2) * noise
    return trend("a", series(x + held), series(y + held), given=series(held), claimed=0.6)


def few_levels(rng: np.random.Generator, effect: float) -> Verdict:
    """Eight runs at three levels, counts: a slope of `effect` a level; claimed: 0.6."""
    levels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    y = rng.poisson(np.maximum(4 + effect * (levels - 1), 0.2)).astype(float)
    return trend("a", series(levels), series(y), claimed=0.6)


# Each with an effect that is there beyond doubt, one as claimed, and how far the rule may be from its level.
PLANTED: list[tuple[Draw, float, float | None]] = [
    (two_groups, 12.0, 3.0),
    (three_seeds, 25.0, 6.0),
    (counts, 30.0, 8.0),
    (paired, 8.0, 2.0),
    (falling, 8.0, 2.0),
    (ranks, 0.9, 2 * math.sin(math.pi * 0.6 / 6)),  # of a normal pair whose Spearman's ρ is 0.6
    (ranks_down, 0.9, 2 * math.sin(math.pi * 0.6 / 6)),
    (ranks_beyond, 0.9, None),
    (few_levels, 4.0, None),
]
IDS = [draw.__name__ for draw, _, _ in PLANTED]


def share(draw: Draw, effect: float, answer: str) -> float:
    return sum(draw(np.random.default_rng(seed), effect).answer == answer for seed in range(TABLES)) / TABLES


@pytest.mark.parametrize(("draw", "effect", "claimed"), PLANTED, ids=IDS)
def test_what_is_there_holds_and_its_reverse_does_not(draw: Draw, effect: float, claimed: float | None) -> None:
    for seed in range(5):
        assert draw(np.random.default_rng(seed), effect).answer == HOLDS
        assert draw(np.random.default_rng(seed), -effect).answer == DOES_NOT_HOLD


@pytest.mark.parametrize(("draw", "effect", "claimed"), PLANTED, ids=IDS)
def test_without_an_effect_a_claim_holds_in_one_table_of_forty(
    draw: Draw, effect: float, claimed: float | None
) -> None:
    assert share(draw, 0.0, HOLDS) <= 0.045  # 2.5% and two and a half standard errors of it


@pytest.mark.parametrize(
    ("draw", "effect", "claimed"),
    [case for case in PLANTED if case[2] is not None],
    ids=[name for name, case in zip(IDS, PLANTED, strict=True) if case[2] is not None],
)
def test_an_effect_as_claimed_is_seldom_refuted_and_held_as_often_as_the_power_says(
    draw: Draw, effect: float, claimed: float
) -> None:
    assert share(draw, claimed, DOES_NOT_HOLD) <= 0.05
    said = np.mean([draw(np.random.default_rng(seed), claimed).power for seed in range(TABLES)])
    assert share(draw, claimed, HOLDS) == pytest.approx(said, abs=0.1)


def test_an_effect_smaller_than_claimed_does_not_hold_though_it_is_there() -> None:
    rng = np.random.default_rng(0)
    verdict = mean("a", series(0.3 + 0.01 * rng.normal(size=8)), claimed=1.0, measure="{}%")
    assert verdict.low > 0
    assert verdict.answer == DOES_NOT_HOLD


def same(rng: np.random.Generator, gap: float) -> Verdict:
    return equality("a", series(rng.normal(size=5) + gap), series(rng.normal(size=5)), margin=2.0, measure="{}")


def test_equality_holds_where_it_is_close_and_not_where_nothing_was_found() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=5)
    assert equality("a", series(noise), series(noise[::-1].copy()), margin=9.0, measure="{}").answer == HOLDS
    assert equality("a", series(noise + 30), series(noise), margin=9.0, measure="{}").answer == DOES_NOT_HOLD
    assert equality("a", series(noise - 30), series(noise), margin=9.0, measure="{}").answer == DOES_NOT_HOLD
    unclear = equality("a", series(noise[:2]), series(noise[2:4]), margin=0.5, measure="{}")
    assert unclear.answer == CANNOT_TELL  # no difference, but too few to see one
    assert equality("a", series(0.1 * noise), margin=1.0, measure="{}").answer == HOLDS  # one group against zero


def test_groups_that_differ_by_the_margin_are_seldom_called_equal() -> None:
    assert share(same, 2.0, HOLDS) <= 0.045
    assert share(same, 2.0, DOES_NOT_HOLD) <= 0.045


def test_the_power_of_an_equality_is_how_often_equal_groups_are_called_so() -> None:
    def wide(rng: np.random.Generator, gap: float) -> Verdict:
        return equality("a", series(rng.normal(size=8) + gap), series(rng.normal(size=8)), margin=2.0, measure="{}")

    said = np.mean([wide(np.random.default_rng(seed), 0.0).power for seed in range(TABLES)])
    assert share(wide, 0.0, HOLDS) == pytest.approx(said, abs=0.1)


def steady(rng: np.random.Generator, spread: float) -> Verdict:
    return steadiness("a", series(100 + 100 * spread * rng.normal(size=5)), claimed=0.25)


def test_a_spread_is_negligible_large_or_neither() -> None:
    assert steadiness("a", series([100, 101, 99, 100, 102]), claimed=0.25).answer == HOLDS
    assert steadiness("a", series([1, 200, 3, 400, 5]), claimed=0.25).answer == DOES_NOT_HOLD
    assert steadiness("a", series([70, 75, 74, 59, 79]), claimed=0.25).answer == CANNOT_TELL
    assert share(steady, 0.25, HOLDS) <= 0.045
    assert share(steady, 0.25, DOES_NOT_HOLD) <= 0.045
    assert share(steady, 0.125, HOLDS) == pytest.approx(steady(np.random.default_rng(0), 0.1).power, abs=0.1)


@pytest.mark.parametrize("times", [2, 50])
def test_nested_rows_are_no_units(times: int) -> None:
    rng = np.random.default_rng(3)
    a, b = series(rng.normal(size=4) + 1), series(rng.normal(size=5))
    x, y, held = (series(rng.normal(size=12)) for _ in range(3))

    def nested(values: pd.Series) -> pd.Series:
        return pd.concat([values] * times)

    rules: list[Callable[..., Verdict]] = [
        lambda f: difference("a", f(a), f(b), claimed=1.0, measure="{}"),
        lambda f: mean("a", f(a), claimed=1.0, measure="{}"),
        lambda f: equality("a", f(a), f(b), margin=1.0, measure="{}"),
        lambda f: steadiness("a", f(a + 9), claimed=0.25),
    ]
    for rule in rules:
        once, again = rule(lambda values: values), rule(nested)
        assert (again.answer, again.units) == (once.answer, once.units)
        assert (again.effect, again.low, again.power) == pytest.approx((once.effect, once.low, once.power))
    once = trend("a", x, y, given=held, claimed=0.5)
    again = trend("a", nested(x), nested(y), given=nested(held), claimed=0.5)
    assert (again.units, again.effect) == ((12,), pytest.approx(once.effect))


def test_what_lies_above_a_ceiling_counts_as_the_ceiling() -> None:
    low, high = series([0.8, 1.1, 0.9, 1.0, 0.7]), series([3.0, 30.0, 300.0, 3000.0, 2.4])
    verdict = difference("a", high, low, claimed=0.5, measure="{}", ceiling=2.5)
    assert verdict.answer == HOLDS
    assert verdict.effect == pytest.approx(2.48 - 0.9)
    assert "4 of 10 above the ceiling of 2.50" in str(verdict)
    assert difference("a", high, low, claimed=0.5, measure="{}").answer == CANNOT_TELL  # one value makes the spread
    assert difference("a", low, high, claimed=0.5, measure="{}", ceiling=2.5).answer == DOES_NOT_HOLD  # reversed


def test_two_groups_at_the_ceiling_are_not_told_apart_whatever_they_are() -> None:
    high, higher = series([2.4, 9.0, 8.0, 7.0]), series([2.5, 90.0, 80.0, 70.0])
    assert difference("a", higher, high, claimed=1.0, measure="{}", ceiling=2.5).answer == CANNOT_TELL
    all_above = difference("a", higher + 1, high + 1, claimed=1.0, measure="{}", ceiling=2.5)
    assert all_above.answer == CANNOT_TELL
    assert "no interval" in str(all_above)


def test_a_trend_up_to_a_ceiling() -> None:
    x = series(np.arange(20.0))
    assert trend("a", x, x**3, claimed=0.5, ceiling=1000.0).answer == HOLDS
    assert trend("a", x, -x, claimed=0.5, ceiling=1000.0).answer == DOES_NOT_HOLD
    rng = np.random.default_rng(1)
    y = series(rng.normal(size=200))
    free = trend("a", series(rng.normal(size=200)), y, claimed=0.5)
    assert free.answer == DOES_NOT_HOLD  # an absence, with enough units
    censored = trend("a", series(rng.normal(size=200)), y, claimed=0.5, ceiling=0.0)
    assert censored.answer == CANNOT_TELL  # what is above may have one


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_too_few_or_no_spread_tells_nothing(values: list[float]) -> None:
    found = [
        difference("a", series(values), series(values), claimed=1.0, measure="{}"),
        mean("a", series(values), claimed=1.0, measure="{}"),
        equality("a", series(values), series(values), margin=1.0, measure="{}"),
        trend("a", series(values), series(values), claimed=0.5),
        steadiness("a", series(values), claimed=0.25),
    ]
    for verdict in found:
        assert verdict.answer == CANNOT_TELL
        assert str(verdict).startswith("no interval")
        assert f"n = {len(values)}" in str(verdict)


def part(answer: str, effect: float = 1.0) -> Verdict:
    return Verdict(f"part {answer}", answer, effect, 0.0, 2.0, 1.0, 0.5, (3,), "{}")


@pytest.mark.parametrize(
    ("answers", "whole"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, CANNOT_TELL], CANNOT_TELL),
        ([HOLDS, CANNOT_TELL, DOES_NOT_HOLD], DOES_NOT_HOLD),
    ],
)
def test_a_claim_of_parts_is_as_good_as_its_worst(answers: list[str], whole: str) -> None:
    verdict = together("all", list(map(part, answers)))
    assert (verdict.claim, verdict.answer) == ("all", whole)
    assert f"part {whole}; {whole} for {answers.count(whole)} of {len(answers)} parts" in str(verdict)


def test_true_parts_are_refuted_no_oftener_for_being_many() -> None:
    def parts(rng: np.random.Generator, number: int) -> Verdict:
        drawn = [
            mean(str(at), series(rng.normal(size=6) + 2), claimed=2.0, measure="{}", parts=number)
            for at in range(number)
        ]
        return together("all", drawn)

    refuted = [parts(np.random.default_rng(seed), 4).answer == DOES_NOT_HOLD for seed in range(TABLES)]
    assert np.mean(refuted) <= 0.045


def test_the_numbers_are_those_of_the_textbook() -> None:
    a, b = [9.0, 8.0, 10.0, 9.5], [1.0, 0.0, 3.0]
    verdict = difference("a", series(a), series(b), claimed=5.0, measure="{} intruders")
    expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (verdict.low, verdict.high) == pytest.approx((expected.low, expected.high))
    assert verdict.units == (4, 3)
    shown = str(verdict)
    assert shown.startswith("+7.8 intruders (95% +4.6 to +10.9; needs +5.0; n = 4 and 3 seeds; power ")
    single = mean("a", series(a), claimed=5.0, measure="{}")
    expected = scipy.stats.ttest_1samp(a, 0).confidence_interval()
    assert (single.low, single.high) == pytest.approx((expected.low, expected.high))
