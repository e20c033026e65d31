"""What the studies share: two bases, their tasks and texts, the grid of rates, where runs and tables go.

The encoder (MiniLM-L6 on movie reviews) comes with the demo's packages. The decoder (stories15M on sst2) and the six
tasks are looked for in the folder `--data`, or SPECTRA_DATA: ``models/stories15M``, ``tasks/*.train.jsonl``,
``text/encyclopedia.txt``; a study that needs one that is not there says so and goes on without it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import pydoc_data.topics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from saved import RESULTS, Finding, Saved, picked_rate

import spectra
from spectra.demo import base_directory
from spectra.trainer.loading import is_causal, model_directory
from spectra.trainer.tasks import load_task

SEEDS = [0, 1, 2]
ALPHA_TIMES_RATE = {"encoder": 0.032, "decoder": 0.016}  # that of the middle rate of rank 8 in the grid below
# Rates for each method, a factor of two apart, from gentle to where most lose accuracy. α = 2r, the paper's rule.
GRIDS: dict[str, dict[tuple[str, int], list[float]]] = {
    "encoder": {
        ("full", 0): [1e-4, 2e-4, 4e-4],
        ("lora", 1): [2e-3, 4e-3, 8e-3],
        ("lora", 8): [1e-3, 2e-3, 4e-3],
        ("lora", 64): [3e-4, 6e-4, 1.2e-3],
    },
    "decoder": {
        ("full", 0): [1e-4, 2e-4, 4e-4],
        ("lora", 1): [1e-3, 2e-3, 4e-3],
        ("lora", 8): [5e-4, 1e-3, 2e-3],
        ("lora", 64): [2.5e-4, 5e-4, 1e-3],
    },
}


@dataclass(frozen=True)
class Setting:
    """One base with its task, its text, and where its runs go."""

    name: str
    kind: str
    fields: dict[str, Any]
    options: dict[str, Any]
    runs: Path
    data: Path
    quick: bool
    own: bool = False  # the user's, not one of the two

    @property
    def seeds(self) -> list[int]:
        """Three; two when it is only to be seen that it works."""
        return SEEDS[:2] if self.quick else SEEDS

    def sweep(self, variants: list[dict[str, Any]], **fields: Any) -> spectra.Study:
        """Train and measure what is missing; runs are shared by all studies."""
        grid = {**self.fields, "seed": self.seeds, **fields, "variants": variants}
        if self.quick:
            grid |= {"max_steps": 4}
        study = spectra.sweep(grid, self.runs / self.name, progress=Progress(), **self.options)
        if (failed := study.table[study.table["status"] == "failed"]).size:  # a mean over the others would be another
            raise SystemExit(
                f"{len(failed)} runs failed; the first, {failed['run'].iloc[0]}: {failed['reason'].iloc[0]}"
            )
        return dataclasses.replace(study, table=study.table.assign(**self.bounds))

    @functools.cached_property
    def bounds(self) -> dict[str, float]:
        """What a verdict needs to know of task and text: the accuracy of a run that learned something (two standard
        errors above always saying the commonest label), and the rise of the text's loss that no run can pass.

        NaN where there is none: without labels, after four steps, on a loss without a ceiling. That of the contrastive
        loss is what an embedding has that tells none of 64 sentences from another.
        """
        task = load_task(spectra.Recipe.from_dict(self.fields))
        least = ceiling = math.nan
        if task.label_field is not None:
            share = float(task.eval[task.label_field].value_counts(normalize=True).max())
            least = 0.0 if self.quick else share + 2 * math.sqrt(share * (1 - share) / len(task.eval))
        if self.options["objective"] == "contrastive":
            ceiling = math.log(64) - float(spectra.forgetting(self.fields["base"], [], **self.on_text).table["loss"][0])
        return {"least_accuracy": least, "ceiling": ceiling}

    def main_sweep(self) -> spectra.Study:
        """Every method and rank at each of its rates."""
        grid = GRIDS[self.kind]
        return self.sweep([{"method": m, "rank": max(r, 1), "learning_rate": rates} for (m, r), rates in grid.items()])

    def picked(self) -> pd.DataFrame:
        """Of the main sweep, each rank's runs at the largest rate as accurate as its best within a standard error."""
        table = self.main_sweep().table
        return pd.concat([picked_rate(group) for _, group in table.groupby(table["rank"].fillna(0.0))]).sort_index()

    def alpha_sweep(self) -> spectra.Study:
        """LoRA of ranks 1, 8 and 64, α = 8 and α = 2r (column rule), the product of α and the rate the same."""
        product = ALPHA_TIMES_RATE[self.kind]
        variants = [
            {"method": "lora", "rank": rank, "alpha": float(alpha), "learning_rate": product / alpha}
            for rank in (1, 8, 64)
            for alpha in (8, 2 * rank)
        ]
        study = self.sweep(variants)
        rule = ["8" if alpha == 8 else "2r" for alpha in study.table["alpha"]]
        return dataclasses.replace(study, table=study.table.assign(rule=rule))

    @property
    def on_text(self) -> dict[str, Any]:
        """What forgetting is measured with."""
        return {name: self.options[name] for name in ("text", "objective", "num_sequences", "length")}

    def results(self) -> Path:
        """Where tables go: those of the two bases into the tree, others beside the runs."""
        folder = self.runs if self.own or self.quick else RESULTS
        folder.mkdir(exist_ok=True)
        return folder

    def run_path(self, name: str) -> Path:
        """Where a run of a sweep lies."""
        return self.runs / self.name / "runs" / name


class Progress:
    """A line on stderr every half minute."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, done: int, total: int, words: str) -> None:
        if time.monotonic() - self.last > 30:
            self.last = time.monotonic()
            print(words, file=sys.stderr, flush=True)


def settings(doc: str | None) -> list[Setting]:
    """The bases that are there, from the command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps a run: to see that it works")
    parser.add_argument("--runs", type=Path, default=Path("studies-runs"), help="where runs are kept, and found again")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SPECTRA_DATA", "../shared/data")))
    parser.add_argument("--only", choices=["encoder", "decoder"], help="one of the two bases")
    parser.add_argument("--base", type=Path, help="your own model instead, a transformers directory")
    parser.add_argument("--task", help="for --base: the task to tune it on")
    parser.add_argument("--text", help="for --base: the text to measure forgetting on")
    parser.add_argument("--objective", default="auto", help="for --base: the loss on that text")
    given = parser.parse_args()
    if given.base and given.only:
        parser.error("--only chooses one of the study's own two bases, and --base is another")
    runs = given.runs / "quick" if given.quick else given.runs
    runs.mkdir(parents=True, exist_ok=True)
    text = given.data / "text" / "encyclopedia.txt"
    if not text.exists():  # the standard library's own prose
        text = runs / "python-topics.txt"
        text.write_text("\n\n".join(pydoc_data.topics.topics.values()), encoding="utf-8")
    few = 16 if given.quick else 0
    common = {"epsilon": [0.5, 0.8], "method_of_comparison": "exact"}
    fields = {"task": "movie-reviews", "num_examples": 1920, "epochs": 1.0, "max_length": 20}
    options = {"text": str(text), "objective": "contrastive", "num_sequences": few or 192, "length": 48, **common}
    places: tuple[Path, Path, bool] = (runs, given.data, given.quick)
    if given.base:
        config = json.loads((model_directory(given.base) / "config.json").read_text(encoding="utf-8"))
        kind = "decoder" if is_causal(config.get("architectures") or []) else "encoder"
        fields |= {"base": str(given.base), "task": given.task or fields["task"], "max_length": 64}
        options |= {"text": given.text or str(text), "objective": given.objective}
        found = [Setting(given.base.resolve().name, kind, fields, options, *places, own=True)]
    else:
        found = []
        if given.only != "decoder":  # the one that needs the demo's packages
            found.append(Setting("encoder", "encoder", fields | {"base": base_directory()}, options, *places))
        decoder, tasks = given.data / "models" / "stories15M", given.data / "tasks"
        if given.only != "encoder" and not decoder.is_dir():
            print(f"no decoder at {decoder}", file=sys.stderr)
        elif given.only != "encoder":
            fields = {"base": str(decoder), "num_examples": 2000, "epochs": 1.0, "max_length": 48}
            fields |= {"task": str(tasks / "sst2.train.jsonl"), "eval": str(tasks / "sst2.test.jsonl")}
            options = {"text": "self", "objective": "auto", "num_sequences": few or 96, "length": 64, **common}
            found.append(Setting("decoder", "decoder", fields, options, *places))
    for setting in found if given.quick else []:
        few_rows(setting)
    return found


def few_rows(setting: Setting) -> None:
    """A task of a hundred rows, for `--quick`."""
    rows = load_task(spectra.Recipe.from_dict(setting.fields)).train[:100]
    path = setting.runs / f"{setting.name}.jsonl"
    rows.to_json(path, orient="records", lines=True)
    setting.fields.pop("eval", None)
    setting.fields.update({"task": str(path), "num_examples": 64})


def each_base(
    measure: Callable[[Setting], None], doc: str | None, decide: Callable[[Saved], Finding | None] | None = None
) -> None:
    """A study from the command line, on each base in turn; what cannot be used is one sentence and exit code 2.

    It measures and saves its tables; what it concludes it decides from saved tables alone, its own and those of studies
    that were run before.
    """
    try:
        for setting in settings(doc):
            measure(setting)
            saved = Saved(setting.name, setting.results())
            if decide is not None and (finding := decide(saved)) is not None:
                finding.write(saved)
    except (spectra.SpectraError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from error


def portable(value: Any) -> Any:
    """Provenance without this machine's folders."""
    if isinstance(value, Mapping):
        return {key: portable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "../")) else value


def keep(setting: Setting, study: str, result: spectra.Study) -> None:
    """Save a study's table."""
    result = dataclasses.replace(result, provenance=portable(result.provenance))
    result.write(setting.results() / f"{study}-{setting.name}.parquet")
