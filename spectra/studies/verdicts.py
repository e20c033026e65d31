"""Whether a claim holds: rules that can say yes, no, and that it cannot be told.

Every rule weighs one effect against the least effect that the claim needs (`claimed`). The claim *holds* where the 95%
interval lies above zero. It *does not hold* where the interval lies below what is claimed: the effect is absent, too
small, or the other way round. Else it *cannot be told*. So a claim without any effect is said to hold in at most one
case in 40, and so is a true one said not to.

Values are pandas series whose index names the independent unit (a seed, a setting). What shares a unit is averaged
before anything is counted: numbers that are nested in a run are no tests of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.stats

from .statistics import rank_correlation

HOLDS, DOES_NOT_HOLD, CANNOT_TELL = "holds", "does not hold", "cannot tell"
_TAIL = 0.025  # of a 95% interval
_SHARE = "{} times the mean"


@dataclass(frozen=True)
class Verdict:
    """What a rule says of one claim.

    Attributes
    ----------
    claim : str
    answer : str
        ``"holds"``, ``"does not hold"`` or ``"cannot tell"``.
    effect, low, high : float
        The estimate and its 95% interval, in units of `measure`; NaN where there are too few units, or no spread.
    claimed : float
        The least effect the claim needs; of an equality the greatest difference it allows.
    power : float
        How often the rule would say "holds", were the effect as claimed (of an equality: none).
    units : tuple of int
        How many independent units there are, of each group.
    measure : str
        How an effect is written, with ``{}`` in the place of its number: ``"{} nats"``.
    unit : str
        What the units are, in the plural.
    bound : str
        What `claimed` is to the claim: it ``"needs"`` such an effect, or ``"allows"`` it.
    note : str
        What else a reader has to know.
    """

    claim: str
    answer: str
    effect: float
    low: float
    high: float
    claimed: float
    power: float
    units: tuple[int, ...]
    measure: str
    unit: str = "seeds"
    bound: str = "needs"
    note: str = ""

    def __str__(self) -> str:
        count = f"n = {' and '.join(map(str, self.units))} {self.unit}"
        note = f"; {self.note}" if self.note else ""
        if math.isnan(self.low):
            return f"no interval (too few, or no spread among them; {count}; power unknown){note}"
        digits = max(0, 1 - math.floor(math.log10(max(self.high - self.low, 1e-9) / 2)))
        effect, low, high, claimed = (f"{v:+.{digits}f}" for v in (self.effect, self.low, self.high, self.claimed))
        shown = self.measure.format(effect)
        return f"{shown} (95% {low} to {high}; {self.bound} {claimed}; {count}; power {self.power:.0%}){note}"


def difference(
    claim: str,
    above: pd.Series,
    below: pd.Series,
    *,
    claimed: float,
    measure: str,
    unit: str = "seeds",
    ceiling: float = math.nan,
    parts: int = 1,
) -> Verdict:
    """Whether the mean of the group `above` is above that of the group `below` (Welch 1947).

    Values above a `ceiling` only say that they are, and count as it. That draws groups together, so with such values
    only a difference the other way round refutes the claim. `parts` says of how many parts of a claim this is one (see
    `together`).

    Examples
    --------
    >>> lora, full = pd.Series([9.0, 8.0, 10.0, 9.0], [0, 1, 2, 3]), pd.Series([0.0, 1.0, 0.0, 0.0], [0, 1, 2, 3])
    >>> print(difference("more", lora, full, claimed=5, measure="{} intruders").answer)
    holds
    """
    if claimed < 0:
        raise ValueError(f"claimed={claimed}: name the group first that is claimed to be above")
    a, b = (_per_unit(values.clip(upper=ceiling)) for values in (above, below))
    clipped = sum(int(_per_unit(values > ceiling).astype(bool).sum()) for values in (above, below))
    note = _above(clipped, len(a) + len(b), ceiling)
    found = _by_t(*_welch(a, b), claimed, parts, 0.0 if clipped else claimed)
    return Verdict(claim, *found, (len(a), len(b)), measure, unit, note=note)


def mean(
    claim: str, values: pd.Series, *, claimed: float, measure: str, unit: str = "seeds", parts: int = 1
) -> Verdict:
    """Whether the mean is above zero (below, with a negative `claimed`): Student's t, of paired differences as well."""
    found = _per_unit(values)
    return Verdict(claim, *_by_t(*_student(found), claimed, parts, claimed), (len(found),), measure, unit)


def equality(
    claim: str,
    values: pd.Series,
    others: pd.Series | None = None,
    *,
    margin: float,
    measure: str,
    unit: str = "seeds",
    parts: int = 1,
) -> Verdict:
    """Whether two means differ, or one mean is, by less than `margin` (two one-sided tests: Schuirmann 1987).

    It holds where the 95% interval lies within the margin, and does not where it lies beyond. That nothing was found
    between two groups is no equality: with few units it cannot be told.
    """
    groups = [_per_unit(one) for one in (values, others) if one is not None]
    effect, error, df = _welch(*groups) if others is not None else _student(groups[0])
    t, strict = (scipy.stats.t.isf(_TAIL / number, df) for number in (1, parts))
    answer = CANNOT_TELL
    if abs(effect) + t * error < margin:
        answer = HOLDS
    elif abs(effect) - strict * error > margin:
        answer = DOES_NOT_HOLD
    power = max(0.0, 2 * scipy.stats.t.cdf(margin / error - t, df) - 1) if error > 0 else math.nan
    units = tuple(map(len, groups))
    low, high = effect - t * error, effect + t * error
    return Verdict(claim, answer, effect, low, high, margin, power, units, measure, unit, "allows")


def trend(
    claim: str,
    x: pd.Series,
    y: pd.Series,
    *,
    claimed: float,
    given: pd.Series | None = None,
    unit: str = "runs",
    ceiling: float = math.nan,
    parts: int = 1,
) -> Verdict:
    """Whether one column rises with another (falls, with a negative `claimed`): Spearman's ρ, partial with `given`.

    `ceiling` is that of `y`. To hold, ρ's p-value has to be below 0.05 as well, which for few pairs is over all orders.
    """
    columns = {"x": x, "y": y.clip(upper=ceiling), "above": y > ceiling}
    table = pd.DataFrame(columns | ({} if given is None else {"given": given})).dropna()
    table = table.groupby(level=list(range(table.index.nlevels))).mean()
    clipped = int((table["above"] > 0).sum())
    held = None if given is None else table["given"].tolist()
    found = rank_correlation(table["x"].tolist(), table["y"].tolist(), given=held)
    strict = found.interval(1 - 2 * _TAIL / parts)
    sign = math.copysign(1.0, claimed)
    low = sign * (found.low if sign > 0 else found.high)
    high = sign * (strict[1] if sign > 0 else strict[0])
    answer = _answer(low if found.p < 2 * _TAIL else math.nan, high, 0.0 if clipped else abs(claimed))
    measure, note = f"ρ = {{}}, p = {found.p:.2g}", _above(clipped, found.n, ceiling)
    numbers = (found.rho, found.low, found.high, claimed, found.power(claimed))
    return Verdict(claim, answer, *numbers, (found.n,), measure, unit, note=note)


def steadiness(claim: str, values: pd.Series, *, claimed: float, unit: str = "seeds", parts: int = 1) -> Verdict:
    """Whether the standard deviation is less than a share `claimed` of the mean, from the χ² interval of a variance.

    The power is that at half this share.
    """
    found = _per_unit(values)
    n = len(found)
    if n < 2 or not found.std() or found.mean() <= 0:
        nan = math.nan
        return Verdict(claim, CANNOT_TELL, nan, nan, nan, claimed, nan, (n,), _SHARE, unit, "allows")
    share = float(found.std(ddof=1) / found.mean())
    ends = scipy.stats.chi2.ppf([1 - _TAIL, _TAIL, 1 - _TAIL / parts], n - 1)
    low, high, strict = (share * math.sqrt((n - 1) / end) for end in ends)
    answer = HOLDS if high < claimed else DOES_NOT_HOLD if strict > claimed else CANNOT_TELL
    power = float(scipy.stats.chi2.cdf(4 * ends[1], n - 1))
    return Verdict(claim, answer, share, low, high, claimed, power, (n,), _SHARE, unit, "allows")


def together(claim: str, parts: Sequence[Verdict]) -> Verdict:
    """A claim of several parts: it holds where every one does, and does not where one does not.

    Each part is made with ``parts=`` their number, which divides the level of its refutation (Bonferroni), as one is
    enough; that all hold needs no such care (Berger 1982). The numbers are those of the first part that decides.
    """
    answers = [part.answer for part in parts]
    answer = next(one for one in (DOES_NOT_HOLD, CANNOT_TELL, HOLDS) if one in answers)
    deciding = [part for part in parts if part.answer == answer]
    which = f"this part: {deciding[0].claim}; {answer} for {len(deciding)} of {len(parts)} parts"
    return replace(deciding[0], claim=claim, note="; ".join(filter(None, [which, deciding[0].note])))


def _above(number: int, n: int, ceiling: float) -> str:
    return f"{number} of {n} above the ceiling of {ceiling:.2f}" if number else ""


def _per_unit(values: pd.Series) -> np.ndarray:
    """The mean of each independent unit."""
    values = values.dropna().astype(float)
    found: np.ndarray = values.groupby(level=list(range(values.index.nlevels))).mean().to_numpy()
    return found


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Difference of the means, its standard error, its degrees of freedom; NaN where nothing can be said of it."""
    if min(len(a), len(b)) < 2:
        return math.nan, math.nan, math.nan
    variances = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = variances.sum()
    if not total > 0:
        return float(a.mean() - b.mean()), math.nan, math.nan
    df = total**2 / (variances**2 / [len(a) - 1, len(b) - 1]).sum()
    return float(a.mean() - b.mean()), math.sqrt(total), float(df)


def _student(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, its standard error, its degrees of freedom."""
    if len(values) < 2 or not values.std() > 0:
        return float(values.mean()) if len(values) else math.nan, math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1.0


def _by_t(
    effect: float, error: float, df: float, claimed: float, parts: int, refuting: float
) -> tuple[str, float, float, float, float, float]:
    """The fields of a verdict from answer to power; refuted is what lies below `refuting`."""
    t, strict = (scipy.stats.t.isf(_TAIL / number, df) for number in (1, parts))
    sign = math.copysign(1.0, claimed)
    answer = _answer(sign * effect - t * error, sign * effect + strict * error, sign * refuting)
    power = float(scipy.stats.nct.sf(t, df, abs(claimed) / error)) if error > 0 else math.nan
    return answer, effect, effect - t * error, effect + t * error, claimed, power


def _answer(low: float, high: float, claimed: float) -> str:
    """By the ends of an interval, counted in the direction of the claim; NaN decides nothing."""
    return DOES_NOT_HOLD if high < claimed else HOLDS if low > 0 else CANNOT_TELL
