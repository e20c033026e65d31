from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from spectra import (
    ResultError,
    Study,
    plot_continual,
    plot_correlation,
    plot_dynamics,
    plot_forgetting,
    plot_intervention,
    plot_sweep,
)
from spectra.plots import STUDY_PLOTS

SWEEP = pd.DataFrame(
    [
        {"run": f"{m}{r}{s}", "status": "done", "method": m, "rank": r, "learning_rate": lr, "seed": s,
         "num_intruders_0.5": n + s, "num_intruders_0.8": 3 * n, "forgetting": 0.1 * n + 0.01 * s}
        for m, r, lr, n in [("full", None, 1e-4, 0), ("lora", 1, 1e-3, 6), ("lora", 8, 1e-3, 2), ("lora", 8, 2e-3, 4)]
        for s in (0, 2)
    ]
    + [{"run": "x", "status": "failed", "method": "lora", "rank": 64, "learning_rate": 1.0, "seed": 0}]
).astype({"rank": float})  # fmt: skip
STUDIES = {
    "sweep": Study("sweep", SWEEP, {}),
    "forgetting": Study(
        "forgetting",
        pd.DataFrame({"model": ["base", "a", "b"], "rise": [0.0, 0.2, -0.1], "rise_standard_error": [0.0, 0.05, 0.02]}),
        {"objective": "causal"},
    ),
    "intervention": Study(
        "intervention",
        pd.DataFrame(
            [(t, x, 0.3 * x + i, 0.9) for i, t in enumerate(("intruder", "random")) for x in (0.0, 0.5, 1.0)],
            columns=["target", "lambda", "forgetting", "accuracy"],
        ),
        {},
    ),
    "continual": Study(
        "continual",
        pd.DataFrame(
            [(0, "a", 0.5), (0, "b", 0.6), (1, "a", 0.9), (2, "a", 0.8), (2, "b", 0.7)],
            columns=["stage", "task", "accuracy"],
        ),
        {},
    ),
    "dynamics": Study(
        "dynamics",
        pd.DataFrame(
            [(r, s, 10 * s, s) for r in ("full", "lora") for s in (1, 2, 3)],
            columns=["run", "accuracy", "step", "num_intruders_0.8"],
        ),
        {},
    ),
}


@pytest.mark.parametrize("kind", STUDY_PLOTS)
def test_every_study_has_a_figure_with_labels_on_the_axes_it_is_given(kind: str) -> None:
    ax = Figure().subplots()
    assert STUDY_PLOTS[kind](STUDIES[kind], ax=ax) is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel() or kind == "forgetting"  # whose bars are named one by one


def _points(ax: Any, line: int = 0) -> list[tuple[float, float]]:
    drawn = ax.containers[line].lines[0]
    return list(zip(drawn.get_xdata().tolist(), drawn.get_ydata().tolist(), strict=True))


def test_a_sweep_is_drawn_as_means_over_seeds_with_full_tuning_last() -> None:
    ax = plot_sweep(Study("sweep", SWEEP[SWEEP["learning_rate"] < 2e-3], {}))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "8", "full"]
    assert _points(ax) == [(0, 7.0), (1, 3.0), (2, 1.0)]
    deviation = ax.containers[0].lines[2][0].get_segments()[0]
    assert np.ptp(deviation[:, 1]) / 2 == pytest.approx(np.std([6, 8], ddof=1))
    by_rate = plot_sweep(STUDIES["sweep"], "learning_rate", "num_intruders_0.8", by="rank")
    assert "learning rate" in by_rate.get_xlabel()
    assert "ε = 0.8" in by_rate.get_ylabel()


def test_correlation_draws_every_run_and_states_rho_of_the_means_over_seeds() -> None:
    ax = plot_correlation(STUDIES["sweep"], "num_intruders_0.5")
    assert sum(len(line.get_xdata()) for line in ax.lines) == 8
    assert "n = 4" in ax.get_title()
    elsewhere = SWEEP[:8].assign(run=list("abcdefgh"), seed=np.nan, rank=np.nan, learning_rate=np.nan)
    assert "n = 8" in plot_correlation(Study("sweep", elsewhere, {}), "num_intruders_0.5").get_title()


def test_continual_runs_of_several_methods_are_a_line_each() -> None:
    table = STUDIES["continual"].table
    both = pd.concat([table.assign(run="full"), table.assign(run="lora", accuracy=table["accuracy"] - 0.2)])
    ax = plot_continual(Study("continual", both, {}))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full", "lora"]
    assert _points(ax) == [(0, 0.55), (1, 0.9), (2, 0.75)]
    np.testing.assert_allclose(_points(ax, 1), [(0, 0.35), (1, 0.7), (2, 0.55)])


def test_bars_lines_and_stages_hold_the_tables_numbers() -> None:
    bars = plot_forgetting(STUDIES["forgetting"]).patches
    assert [bar.get_width() for bar in bars] == [0.2, -0.1]  # the base itself is the line at zero
    assert _points(plot_intervention(STUDIES["intervention"])) == [(0.0, 0.0), (0.5, 0.15), (1.0, 0.3)]
    assert _points(plot_continual(STUDIES["continual"])) == [(1, 0.9), (2, 0.8)]
    assert _points(plot_dynamics(STUDIES["dynamics"], "accuracy")) == [(10, 1), (20, 2), (30, 3)]


def test_nothing_but_seeds_is_averaged_over() -> None:
    ax = plot_sweep(STUDIES["sweep"])  # rank 8 was run at two rates: a line each
    assert ax.get_legend() is not None
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["0.0001", "0.001", "0.002"]


def test_two_things_that_vary_at_once_are_told_apart() -> None:
    table = SWEEP[SWEEP["rank"] == 8].assign(batch_size=[4, 8, 4, 8], seed=0)
    ax = plot_sweep(Study("sweep", table, {}), "rank")
    assert ax.get_legend().get_title().get_text() == "learning rate, batch size"
    assert len(ax.containers) == 4


def test_checkpoints_trained_elsewhere_are_a_point_each() -> None:
    table = SWEEP[:3].assign(method=None, rank=np.nan, run=["a/one", "b/two", "three"])
    ax = plot_sweep(Study("sweep", table, {}))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["one", "three", "two"]
    assert ax.containers[0].lines[0].get_linestyle() == "None"


def test_error_bars_of_one_run_are_its_own_standard_errors_or_none() -> None:
    table = STUDIES["continual"].table
    with_errors = Study("continual", table.assign(accuracy_standard_error=0.05), {})
    segments = plot_continual(with_errors).containers[0].lines[2][0].get_segments()
    assert np.ptp(segments[0][:, 1]) == pytest.approx(0.1)
    bare = plot_continual(STUDIES["continual"]).containers[0].lines[2][0].get_segments()
    assert not any(len(part) for part in bare)  # nothing is drawn, rather than an error of zero


def test_what_was_not_measured_cannot_be_drawn() -> None:
    bare = Study("sweep", SWEEP.drop(columns="forgetting"), {})
    with pytest.raises(ResultError, match="no column 'forgetting'"):
        plot_correlation(bare)
    with pytest.raises(ResultError, match="no column 'status'"):
        plot_sweep(Study("sweep", SWEEP.drop(columns="status"), {}))
    with pytest.raises(ResultError, match="no column 'other'"):
        plot_sweep(STUDIES["sweep"], by="other")
    with pytest.raises(ResultError, match="no column 'other'"):
        plot_dynamics(STUDIES["dynamics"], "other")
    with pytest.raises(ResultError, match="this continual has no column 'step'"):
        plot_dynamics(STUDIES["continual"])


def test_an_unknown_rank_is_not_full_tuning() -> None:
    unknown = SWEEP.assign(method=None, rank=np.nan)
    ax = plot_sweep(Study("sweep", unknown, {}), "rank")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["–"]
