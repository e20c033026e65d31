"""Tune, compare, draw: what `spectra demo` does, each finished part kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..comparing import compare
from ..comparison import Comparison
from ..files import make_folder, whole_file
from ..plots import plot_count_by_epsilon, plot_count_by_k, plot_intruder_map, plot_similarity, plot_spectrum
from ..results import write_comparisons
from ..trainer import Run, train
from .page import page
from .setting import base_directory, demo_recipes

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Story:
    """What the demo made.

    Attributes
    ----------
    path : Path
        Its folder, with ``index.html``, ``comparison.json``, ``figures/`` and ``runs/``.
    runs : dict of str to Run
    results : dict of str to Comparison
        Under the same names.
    """

    path: Path
    runs: dict[str, Run]
    results: dict[str, Comparison]

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: accuracy with its standard error, intruders, size and rank of the update."""
        rows = []
        for name, run in self.runs.items():
            result, accuracy = self.results[name], run.metrics["accuracy"]
            rows.append(
                {
                    "run": name,
                    "learning_rate": run.recipe.rate,
                    "accuracy": accuracy,
                    "standard_error": math.sqrt(accuracy * (1 - accuracy) / run.metrics["num_eval"]),
                    "intruders": result.num_intruders,
                    "intruders_at_0.8": result.count(0.8),
                    "new_at_0.8": result.count_new(0.8),
                    "effective_rank": result.matrices["effective_rank"].mean(),
                    "relative_delta": result.matrices["relative_delta"].mean(),
                    "seconds": run.metrics["seconds"],
                }
            )
        return pd.DataFrame(rows)

    def findings(self) -> list[str]:
        """What was found, in sentences that depend on the numbers."""
        table = self.table.set_index("run")
        full, low = table.loc["full"], table.drop(index="full")
        gaps = low["accuracy"] - full["accuracy"]
        errors = (low["standard_error"] ** 2 + full["standard_error"] ** 2) ** 0.5
        worst = (gaps.abs() / errors).idxmax()
        found = [
            f"Accuracy lies between {table['accuracy'].min():.3f} and {table['accuracy'].max():.3f}. {worst} differs "
            f"most from full tuning: by {gaps[worst]:+.3f} ± {errors[worst]:.3f} (standard error), "
            + (
                "more than chance explains."
                if abs(gaps[worst]) >= 2 * errors[worst]
                else "which shows neither a difference nor that there is none."
            )
        ]
        planted = low[low["intruders"] > 0]
        counts = ", ".join(f"{int(row['intruders'])} ({name})" for name, row in low.iterrows())
        found.append(f"Intruder dimensions at ε = 0.5: {int(full['intruders'])} under full tuning; {counts}.")
        if len(planted) and full["intruders"] == 0:
            found.append(
                f"{' and '.join(planted.index)} planted leading directions that are close to no single pretrained one "
                "(though a mix of several may be); full tuning planted none."
            )
        else:
            found.append(
                "On this machine the claim that only low-rank LoRA plants intruders did not show; "
                "the numbers above are what it gave."
            )
        found.append(
            f"Of the {int(low['intruders_at_0.8'].sum())} leading directions that LoRA turned away from every single "
            f"pretrained one by ε = 0.8, {int(low['new_at_0.8'].sum())} are mostly new: more than half outside the "
            "base's 20 leading directions. The others mix these."
        )
        found.append(
            f"The update of full tuning spreads over {full['effective_rank']:.0f} directions a matrix "
            f"(effective rank), that of {low.index[0]} over {low['effective_rank'].iloc[0]:.1f}."
        )
        found.append("What a model forgot does not follow from such a count: spectra forgetting measures it.")
        return found


def run_demo(path: str | Path, *, progress: Report | None = None) -> Story:
    """Make the demo in a folder; runs that are finished there are not trained again.

    Parameters
    ----------
    path : str or Path
    progress : callable, optional
        Called with steps done and in all, and what is being done.

    Raises
    ------
    SpectraError
        If the demo's packages are missing, or the folder holds something else.
    """
    path = Path(path)
    base, recipes = base_directory(), demo_recipes()
    make_folder(path / "figures")
    runs: dict[str, Run] = {}
    for number, (name, recipe) in enumerate(recipes.items()):

        def report(done: int, total: int, words: str, number: int = number, name: str = name) -> None:
            if progress:
                progress(number * total + done, (len(recipes) + 1) * total, f"training {name}, {words}")

        runs[name] = train(recipe, path / "runs" / name, progress=report)
    found = compare(
        base,
        [run.path for run in runs.values()],
        method="exact",  # the figure over all thresholds wants every cosine
        progress=lambda done, total, _: (
            progress(len(recipes) * total + done, (len(recipes) + 1) * total, "comparing") if progress else None
        ),
    )
    story = Story(path, runs, dict(zip(runs, found, strict=True)))
    write_comparisons(found, path / "comparison.json")
    figures = _draw(story)
    content = page(story.table, story.findings(), figures)
    with whole_file(path / "index.html") as temporary:
        temporary.write_text(content, encoding="utf-8")
    return story


def _draw(story: Story) -> list[Path]:
    """The figures, those of one run for the LoRA run with the most intruders."""
    worst = max((name for name in story.results if name != "full"), key=lambda name: story.results[name].num_intruders)
    matrix = story.results[worst].worst_first().iloc[0]["name"]
    names = list(story.results)
    axes = {
        "epsilon": plot_count_by_epsilon(list(story.results.values()), labels=names),
        "k": plot_count_by_k(list(story.results.values()), labels=names),
        f"map-{worst}": plot_intruder_map(story.results[worst]),
        f"similarity-{worst}": plot_similarity(story.results[worst], matrix),
        "similarity-full": plot_similarity(story.results["full"], matrix),
        f"spectrum-{worst}": plot_spectrum(story.results[worst], matrix),
    }
    files = [story.path / "figures" / f"{name}.svg" for name in axes]
    for file, ax in zip(files, axes.values(), strict=True):
        with whole_file(file) as temporary:
            ax.figure.savefig(temporary)  # type: ignore[union-attr]  # axes of a figure, not of a part of one
    return files
