"""What the studies saved of one base, and what is decided from it: no model, no training, no data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

import spectra
from spectra.studies.columns import FIELDS
from spectra.studies.statistics import spread
from spectra.studies.verdicts import Verdict

RESULTS = Path(__file__).parent / "results"
SWEEPS = (
    "rank_sweep", "forgetting", "epsilon_and_k", "learning_rate", "seeds", "alpha", "dataset_size", "frozen_a",
    "variants", "effective_rank", "correlation",
)  # fmt: skip
COUNT = "num_intruders_0.8"
_WORDS = {
    "num_intruders_0.5": "{} intruders at ε = 0.5",
    COUNT: "{} at ε = 0.8",
    "forgetting": "forgetting {} nats",
    "effective_rank": "{}",
    "percent_bought_back": "{}% back",
    "percent_accuracy_lost": "{}% of the accuracy lost",
}
MANY = 0.05  # of the examined vectors: fewer are "almost none", of any method


@dataclass(frozen=True)
class Saved:
    """The tables that the studies of one base left in a folder."""

    base: str
    folder: Path = RESULTS

    def table(self, study: str) -> pd.DataFrame:
        """That of one study; empty where it was not run."""
        file = self.folder / f"{study}-{self.base}.parquet"
        return spectra.Study.read(file).table if file.exists() else pd.DataFrame()

    def runs(self) -> pd.DataFrame:
        """Every run of every sweep, once: what two studies ran alike is one run."""
        tables = [table for study in SWEEPS if len(table := self.table(study))]
        if not tables:
            raise spectra.ResultError(f"{self.folder}: no sweep of {self.base} is saved there; run a study first")
        return pd.concat(tables, ignore_index=True).drop_duplicates([*FIELDS]).reset_index(drop=True)

    def main_runs(self) -> pd.DataFrame:
        """Of these full tuning and LoRA with α = 2r, on all examples, at every rate and seed; `rank` is 0 of full."""
        runs = self.runs()
        runs = runs[runs["num_examples"] == runs["num_examples"].max()]
        known = (runs["method"] == "full") | ((runs["method"] == "lora") & (runs["alpha"] == 2 * runs["rank"]))
        return runs[known].assign(rank=runs["rank"].fillna(0.0))

    def alpha_runs(self, rule: str) -> pd.DataFrame:
        """LoRA's runs with the product of α and the rate the same: α = ``"8"`` or ``"2r"``; none where not saved."""
        table = self.table("alpha")
        table = table if len(table) else self.table("effective_rank")  # the same runs
        return table[table["rule"] == rule] if len(table) else self.runs().iloc[:0]

    def picked(self, rule: str = "largest") -> dict[float, pd.DataFrame]:
        """The runs of each rank (0: full tuning) at one rate, chosen blind to intruders.

        That is the ``"largest"`` as accurate as its best within a standard error, or the most ``"accurate"``.
        """
        choose = picked_rate if rule == "largest" else most_accurate
        return {rank: choose(group) for rank, group in self.main_runs().groupby("rank")}


@dataclass(frozen=True)
class Finding:
    """What a study concludes of one base: its claims, and the numbers behind them in words."""

    study: str
    claims: Sequence[Verdict]
    numbers: str

    def write(self, saved: Saved) -> None:
        """Save it beside the tables and print it."""
        text = json.dumps(self.as_dict(saved.base), indent=1, ensure_ascii=False) + "\n"
        (saved.folder / f"{self.study}-{saved.base}.json").write_text(text, encoding="utf-8")
        print(f"{self.study}, {saved.base}:")
        for verdict in self.claims:
            print(f"  {verdict.claim}: {verdict.answer} ({verdict})")
        print(f"  {self.numbers}", flush=True)

    def as_dict(self, base: str) -> dict[str, object]:
        """As it is saved; what could not be measured is null."""
        claims = [
            {name: None if value != value else value for name, value in asdict(one).items()} | {"words": str(one)}
            for one in self.claims
        ]
        return {"study": self.study, "base": base, "claims": claims, "numbers": self.numbers}


def ceiling(table: pd.DataFrame) -> float:
    """The rise of the text's loss above which a model tells nothing any more; NaN where there is none."""
    return float(table["ceiling"].iloc[0]) if "ceiling" in table else math.nan


def many(table: pd.DataFrame) -> float:
    """How many intruders a claim that there are any needs."""
    return MANY * float(table["num_vectors"].max())


def learned(table: pd.DataFrame) -> pd.DataFrame:
    """The runs that beat always saying the commonest label by two standard errors."""
    return table[table["accuracy"] > table["least_accuracy"]] if "least_accuracy" in table else table


def left_out(table: pd.DataFrame) -> str:
    """In words, how many of these learned nothing; "" if none."""
    count = len(table) - len(learned(table))
    return f"; {count} that learned nothing left out" if count else ""


def picked_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at the largest rate whose mean accuracy is within one standard error of the best; blind to intruders."""
    means = runs.groupby("learning_rate")[["accuracy", "accuracy_standard_error"]].mean()
    best = means.loc[means["accuracy"].idxmax()]
    within = means[means["accuracy"] >= best["accuracy"] - best["accuracy_standard_error"]]
    return runs[runs["learning_rate"] == within.index.max()]


def most_accurate(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at the rate whose mean accuracy is best."""
    return runs[runs["learning_rate"] == runs.groupby("learning_rate")["accuracy"].mean().idxmax()]


def words(groups: Mapping[str, pd.DataFrame], **columns: int) -> str:
    """Means and standard deviations over seeds of each group's columns, with so many digits."""
    return "; ".join(
        f"{name}: "
        + ", ".join(_WORDS.get(c, f"{c} {{}}").format(spread(g[c].tolist(), digits)) for c, digits in columns.items())
        for name, g in groups.items()
    )


def by_seed(runs: pd.DataFrame, column: str) -> pd.Series:
    """A column, each value under the seed it comes from."""
    return runs.set_index("seed")[column]


def label(rank: float) -> str:
    """A rank in words; 0 is full tuning."""
    return f"r = {rank:g}" if rank else "full"
