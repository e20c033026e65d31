from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectra import (
    Comparison,
    compare,
    plot_count_by_epsilon,
    plot_count_by_k,
    plot_intruder_map,
    plot_similarity,
    plot_spectrum,
)
from spectra.plots import PLOTS
from spectra.plots.style import short_label
from tests.oracles import pico_state, tuned_state


@pytest.fixture(scope="module")
def result() -> Comparison:
    base = pico_state(layers=3)
    base["extra.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    tuned = tuned_state(base, scale=1.0)
    tuned["extra.weight"] += 0.1
    return compare(base, tuned, k=6)


@pytest.mark.parametrize("kind", PLOTS)
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_every_figure_has_labels_and_can_be_saved(result: Comparison, kind: str, suffix: str, tmp_path: Path) -> None:
    ax = PLOTS[kind][0](result)
    assert ax.get_xlabel()
    assert ax.get_ylabel() or kind == "map"  # whose rows are named one by one
    ax.figure.savefig(tmp_path / f"x.{suffix}")
    assert (tmp_path / f"x.{suffix}").stat().st_size > 2000


@pytest.mark.parametrize("kind", PLOTS)
def test_every_figure_draws_on_the_axes_it_is_given(result: Comparison, kind: str) -> None:
    ax = Figure().subplots()
    assert PLOTS[kind][0](result, ax=ax) is ax


def test_similarity_outlines_the_intruders(result: Comparison) -> None:
    ax = plot_similarity(result, "layers.1.mlp.up_proj")
    row = result.matrix("layers.1.mlp.up_proj")
    outlined = sorted(round(p.get_x() + 0.5) for p in ax.patches if isinstance(p, Rectangle))
    assert outlined == row["intruders"] != []
    np.testing.assert_allclose(ax.images[0].get_array(), row["cosines"])


def test_similarity_takes_the_worst_matrix_by_default(result: Comparison) -> None:
    assert result.worst_first().iloc[0]["name"] in plot_similarity(result).get_title()


def test_spectrum_marks_the_intruders(result: Comparison) -> None:
    ax = plot_spectrum(result, "layers.1.mlp.up_proj")
    row = result.matrix("layers.1.mlp.up_proj")
    base, tuned, marked = ax.lines
    np.testing.assert_allclose(base.get_ydata(), row["base_singular_values"])
    np.testing.assert_allclose(tuned.get_ydata(), row["singular_values"])
    assert [x - 1 for x in marked.get_xdata()] == row["intruders"]


def test_the_map_adds_up(result: Comparison) -> None:
    ax = plot_intruder_map(result)
    counts = ax.images[0].get_array()
    assert np.nansum(np.ma.filled(counts.astype(float), np.nan)) == result.num_intruders
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2", "–"]
    assert "mlp.up_proj" in [t.get_text() for t in ax.get_yticklabels()]


def test_experts_of_a_module_are_summed() -> None:
    import torch

    base = {"layers.0.mlp.experts.up_proj": torch.randn(4, 8, 8)}
    result = compare(base, {"layers.0.mlp.experts.up_proj": base["layers.0.mlp.experts.up_proj"] + 2 * torch.eye(8)})
    ax = plot_intruder_map(result)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["mlp.experts.up_proj"]


def test_counts_against_epsilon_and_k(result: Comparison) -> None:
    ax = plot_count_by_epsilon([result, result], labels=["a", "b"])
    x, y = ax.lines[0].get_data()
    assert [result.count(e) for e in x] == list(y)
    assert [t.get_text() for t in ax.get_legend().get_texts()][1:] == ["a", "b"]
    x, y = plot_count_by_k(result).lines[0].get_data()
    assert list(y) == [result.count(k=k) for k in x]
    assert y[-1] == result.num_intruders


def test_labels_must_match() -> None:
    base = pico_state()
    result = compare(base, tuned_state(base))
    with pytest.raises(ValueError, match="1 labels for 2 results"):
        plot_count_by_k([result, result], labels=["a"])


@pytest.mark.parametrize(
    ("tuned", "label"),
    [("runs/lora-r8", "lora-r8"), ("runs/full/model.safetensors", "full"), ("x.pt", "x.pt"), ("model.pt", "model.pt")],
)
def test_what_a_legend_calls_a_result(result: Comparison, tuned: str, label: str) -> None:
    import dataclasses

    assert short_label(dataclasses.replace(result, tuned=tuned)) == label


def test_a_band_stands_where_the_bounds_leave_the_count_open() -> None:
    base = pico_state(layers=1, width=140)
    result = compare(base, tuned_state(base, scale=0.6, rank=2), k=4, epsilon=[0.5, 0.8], method="certified")
    ax = plot_count_by_epsilon(result)
    (line,) = [one for one in ax.lines if len(one.get_xdata()) > 2]
    drawn = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    for epsilon, count in drawn.items():
        least, most = result.count_bounds(epsilon)
        assert count == least == most if least == most else np.isnan(count)
    assert drawn[0.5] == result.num_intruders
    assert np.isnan(list(drawn.values())).any()
    assert len(ax.collections) == 1
