"""Figures of studies: sweeps, forgetting, interventions, continual learning, training dynamics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import ResultError
from ..escaping import figure_text
from ..studies.columns import setting_means
from ..studies.statistics import rank_correlation
from ..studies.study import Study
from .style import axes_or_new, line_styles

_FIELDS = (
    "rank", "learning_rate", "alpha", "num_examples", "max_steps", "epochs", "batch_size", "max_length",
    "warmup_ratio", "modules", "task", "method",
)  # fmt: skip
_WORDS = {
    "num_examples": "training examples",
    "learning_rate": "learning rate",
    "max_steps": "steps",
    "alpha": "α",
    "forgetting": "forgetting: rise of the loss (nats)",
    "percent_bought_back": "% of the forgetting bought back",
    "percent_accuracy_lost": "% of the accuracy lost",
    "num_at_chance": "vectors no nearer to the base than chance",
    "intruder_energy_share": "energy share of intruders",
    "relative_delta": "‖ΔW‖/‖W0‖",
    "best_rank": "highest rank of an intruder (1: leading)",
    "mean_singular_value": "mean singular value of the intruders",
    "effective_rank": "effective rank of ΔW",
}


def plot_sweep(
    study: Study, x: str | None = None, y: str | None = None, *, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a column of a sweep against a field of its recipes: mean and standard deviation over seeds.

    Parameters
    ----------
    study : Study
        Of kind ``"sweep"``.
    x : str, optional
        A field; by default the first that varies of rank, learning rate, α, …. Of the rank, full tuning stands last.
        ``"run"`` is a point a run, and the default where some were trained elsewhere by no known method.
    y : str, optional
        A column; by default the number of intruders at the first ε.
    by : str, optional
        A field with a line for each of its values; by default whatever else varies, so that nothing but seeds is
        averaged over.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    done = _done(study)
    varying = [name for name in _FIELDS if name in done and done[name].nunique(dropna=False) > 1]
    x = x or ("run" if done["method"].isna().any() else next(iter(varying), "method"))
    y = y or next(name for name in done if str(name).startswith("num_intruders_"))
    _need(study, x, y, *([by] if by else []))
    if x == "run":
        done = done.assign(run=[PurePath(str(name)).name[-30:] for name in done["run"]])
    elif by is None:  # a rank tells full tuning from LoRA, and α and the rate may be rules of the rank
        rest = [name for name in varying if name != x and done.groupby(x, dropna=False)[name].nunique().max() > 1]
        if len(rest) > 1:
            rows = done[rest].to_dict("records")
            by = ", ".join(map(_words, rest))
            done = done.assign(**{by: [", ".join(map(_key, row.values())) for row in rows]})
        else:
            by = next(iter(rest), None)
    if x == "rank":
        done = done.assign(rank=[_rank(row) for row in done.to_dict("records")])
    places = _places(done[x])
    ax = axes_or_new(ax)
    groups: Iterable[tuple[Any, pd.DataFrame]] = done.groupby(by, sort=False, dropna=False) if by else [(None, done)]
    for (value, group), style in zip(groups, line_styles(), strict=False):
        label = None if by is None else _key(value)
        cells = group.assign(place=[_key(value) for value in group[x]]).groupby("place", sort=False)[y]
        at = sorted(cells.groups, key=list(places).index)
        mean, error = cells.mean()[at], cells.std()[at]
        lines = style | ({"linestyle": "none"} if x == "run" else {})  # one has nothing to do with the next
        ax.errorbar([places[key] for key in at], mean, yerr=error, label=label, capsize=3, **lines)
    ax.set_xticks(list(places.values()), list(places))
    if x == "run":
        ax.tick_params(axis="x", rotation=90)
    ax.set_xlabel(_words(x) + (" of LoRA, and full tuning" if x == "rank" and "full" in places else ""))
    ax.set_ylabel(_words(y))
    ax.set_ylim(bottom=min(0.0, float(done[y].min())))  # an error bar may reach below, a count cannot
    if by:
        ax.legend(title=_words(by), frameon=False, fontsize=8)
    return ax


def plot_correlation(
    study: Study, x: str | None = None, y: str = "forgetting", *, by: str = "method", ax: Axes | None = None
) -> Axes:
    """Draw one column of a sweep against another, a point a run, with Spearman's ρ of the means over the seeds.

    Parameters are those of `plot_sweep`; `x` is by default the number of intruders at the first ε.
    """
    done = _done(study)
    x = x or next(name for name in done if str(name).startswith("num_intruders_"))
    _need(study, x, y)
    done = done.dropna(subset=[x, y])
    ax = axes_or_new(ax)
    for (label, group), style in zip(done.groupby(by, sort=False), line_styles(), strict=False):
        ax.plot(
            group[x],
            group[y],
            label=label and figure_text(str(label)),
            **style | {"linestyle": "none", "markersize": 5, "alpha": 0.8},
        )
    if x.startswith("num_"):  # none to hundreds
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=-0.3)
    ax.set_xlabel(_words(x))
    ax.set_ylabel(_words(y))
    if len(settings := setting_means(done)) >= 4:
        found = rank_correlation(settings[x].tolist(), settings[y].tolist())
        ax.set_title(f"Spearman, over the means of seeds:\n{found}", fontsize=8)
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_forgetting(study: Study, *, ax: Axes | None = None) -> Axes:
    """Draw the rise of the loss over the untouched base, a bar a model, with its standard error."""
    table = study.table.iloc[1:]
    ax = axes_or_new(ax, height=max(2.0, 1.0 + 0.35 * len(table)))
    ax.barh(range(len(table)), table["rise"], xerr=table["rise_standard_error"], color="#0072B2", capsize=3)
    ax.set_yticks(
        range(len(table)), [figure_text(PurePath(str(name)).name[-40:]) for name in table["model"]], fontsize=8
    )
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel(f"rise of the {figure_text(study.provenance['objective'])} loss (nats)")
    return ax


def plot_intervention(study: Study, y: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw what scaling the intruders by λ does, and what each control does; error bars as for `plot_continual`.

    `y` is a column, by default ``forgetting`` where it was measured, else ``accuracy`` or ``perplexity``.
    """
    known = [name for name in ("forgetting", "accuracy", "perplexity") if name in study.table]
    y = y or next(iter(known), "forgetting")
    _need(study, y)
    ax = axes_or_new(ax)
    for (label, group), style in zip(study.table.groupby("target", sort=False), line_styles(), strict=False):
        mean, error = _mean_and_error(group, "lambda", y)
        ax.errorbar(mean.index, mean, yerr=error, label=label and figure_text(str(label)), capsize=3, **style)
    ax.axvline(1, color="gray", linewidth=0.8)
    ax.set_xlabel("λ: scale of the intruders (1: as tuned, 0: removed)")
    ax.set_ylabel(_words(y))
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_continual(study: Study, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy on each task after each stage, from the stage it was learned in on; crosses: untouched base.

    Error bars are the standard deviation over seeds, or the standard error of one. Of several kinds of run (column
    ``run``) it is the average over the tasks so far, a line each.
    """
    ax = axes_or_new(ax)
    if "run" in study.table and study.table["run"].nunique() > 1:
        keys = ["run", *(["seed"] if "seed" in study.table else []), "stage"]
        average = study.table.groupby(keys, sort=False)["accuracy"].mean().reset_index()
        for (run, group), style in zip(average.groupby("run", sort=False), line_styles(), strict=False):
            mean, error = _mean_and_error(group, "stage", "accuracy")
            ax.errorbar(mean.index, mean, yerr=error, label=figure_text(str(run)), capsize=3, **style)
        return _stages(ax, "average accuracy on the tasks so far")
    table = study.table
    untouched = table[table["stage"] == 0].groupby("task")["accuracy"].mean()
    for (task, group), style in zip(table[table["stage"] > 0].groupby("task", sort=False), line_styles(), strict=False):
        mean, error = _mean_and_error(group, "stage", "accuracy")
        ax.errorbar(mean.index, mean, yerr=error, label=figure_text(str(task)), capsize=3, **style)
        if task in untouched:
            ax.plot(0, untouched[task], marker="x", color=style["color"])
    return _stages(ax, "accuracy, new head on the frozen body")


def _stages(ax: Axes, words: str) -> Axes:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("stage (0: untouched base)")
    ax.set_ylabel(words)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_dynamics(study: Study, y: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a column against the step of training (arXiv 2410.21228, Fig. 5): by default the number of intruders."""
    y = y or next((name for name in study.table if str(name).startswith("num_intruders")), "num_intruders")
    _need(study, "step", y)
    ax = axes_or_new(ax)
    several = "run" in study.table
    groups = study.table.groupby("run", sort=False) if several else [(None, study.table)]
    for (label, group), style in zip(groups, line_styles(), strict=False):
        mean, error = _mean_and_error(group, "step", y)
        ax.errorbar(mean.index, mean, yerr=error, label=label and figure_text(str(label)), capsize=3, **style)
    ax.set_xlabel("step")
    ax.set_ylabel(_words(y))
    if several:
        ax.legend(frameon=False, fontsize=8)
    return ax


def _mean_and_error(group: pd.DataFrame, x: str, y: str) -> tuple[pd.Series, pd.Series]:
    """Mean at each place and its standard deviation over the runs; of one run its own standard error, or none."""
    cells = group.groupby(x)
    error = cells[y].std()
    if (own := f"{y}_standard_error") in group:
        error = error.fillna(cells[own].mean())
    return cells[y].mean(), error


def _words(column: str) -> str:
    if column.startswith("num_intruders"):
        epsilon = column.removeprefix("num_intruders").removeprefix("_")
        return "intruder dimensions" + (f" (ε = {epsilon})" if epsilon else "")
    return _WORDS.get(column, column.replace("_", " "))


def _done(study: Study) -> pd.DataFrame:
    _need(study, "status")
    return study.table[study.table["status"] == "done"]


def _need(study: Study, *columns: str) -> None:
    for name in columns:
        if name not in study.table:
            raise ResultError(f"this {study.kind} has no column {name!r}, as it was not measured; it cannot be drawn")


def _rank(row: dict[str, Any]) -> Any:
    return "full" if row["method"] == "full" else row["rank"]


def _key(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else figure_text(str(value))


def _places(values: pd.Series) -> dict[str, int]:
    """Where each value stands on the axis, by its label: numbers in order, then words, what is unknown last."""
    keys = sorted(set(values.dropna()), key=lambda value: (isinstance(value, str), value))
    return {_key(value): at for at, value in enumerate([*keys, *([float("nan")] if values.isna().any() else [])])}
