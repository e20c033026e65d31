from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from spectra import CheckpointError, Comparison, compare
from spectra.measuring import _read_ahead
from tests.oracles import pico_state, tuned_state


def test_the_next_piece_is_read_while_one_is_worked_on() -> None:
    reading = [threading.Event() for _ in range(4)]

    def pieces() -> Iterator[Any]:
        for i in range(3):
            reading[i].set()
            yield (i,)
        reading[3].set()

    seen = []
    for piece in _read_ahead(pieces()):
        # Read by now, though it was not asked for yet.
        assert reading[piece[0] + 1].wait(timeout=10)
        seen.append(piece[0])
    assert seen == [0, 1, 2]


def test_an_error_while_reading_is_raised_where_its_piece_would_be() -> None:
    def pieces() -> Iterator[Any]:
        yield (0,)
        raise OSError("gone")

    ahead = _read_ahead(pieces())
    assert next(ahead) == (0,)
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_double_precision_files_are_measured_in_double_precision(tmp_path: Path) -> None:
    # An update of 7e-10 relative: in single precision nothing but rounding is left of it.
    generator = torch.Generator().manual_seed(0)
    W0 = torch.randn(60, 50, generator=generator, dtype=torch.float64)
    delta = 1e-9 * torch.randn(60, 50, generator=generator, dtype=torch.float64)
    torch.save({"layers.0.w.weight": W0}, tmp_path / "base.pt")
    torch.save({"layers.0.w.weight": W0 + delta}, tmp_path / "tuned.pt")
    torch.save({"layers.0.w.weight": W0.float()}, tmp_path / "single.pt")
    row = compare(tmp_path / "base.pt", tmp_path / "tuned.pt").matrices.iloc[0]
    assert row["relative_delta"] == pytest.approx(float(delta.norm() / W0.norm()), rel=1e-6)
    # One side in double precision is enough: the difference is not that of the other's rounding.
    mixed = compare(tmp_path / "single.pt", tmp_path / "tuned.pt").matrices.iloc[0]
    expected = float((W0 + delta - W0.float().double()).norm() / W0.norm())
    assert mixed["relative_delta"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_a_zero_base_has_no_count(suffix: str, tmp_path: Path) -> None:
    base, tuned = pico_state(width=24), tuned_state(pico_state(width=24))
    base["layers.0.self_attn.q_proj.weight"].zero_()
    result = compare(base, tuned, side="both")
    row = result.matrix("0.self_attn.q_proj")
    assert pd.isna(row["num_intruders"])
    assert pd.isna(row["num_intruders_right"])
    assert row["max_cosine"] == []
    assert row["note"] == "the base is zero here: it has no directions to match"
    assert row["effective_rank"] > 0
    assert row["name"] not in set(result.vectors["name"])
    assert result.num_intruders == result.matrices.drop(index=row.name)["num_intruders"].sum()
    result.write(tmp_path / f"r{suffix}")
    again = Comparison.read(tmp_path / f"r{suffix}")
    pd.testing.assert_frame_equal(again.matrices, result.matrices)
    pd.testing.assert_frame_equal(again.vectors, result.vectors)


@pytest.mark.parametrize("tuned_scale", [1e-300, 1e300])
def test_what_cannot_be_represented_is_refused_in_words(tuned_scale: float) -> None:
    base = {"a.0.w.weight": torch.randn(6, 5, dtype=torch.float64) / tuned_scale}
    tuned = {"a.0.w.weight": torch.randn(6, 5, dtype=torch.float64) * tuned_scale}
    if tuned_scale > 1:
        with pytest.raises(CheckpointError, match="base and tuned differ too much in size"):
            compare(base, tuned)
    else:  # the update is minus the base
        assert compare(base, tuned).matrices["relative_delta"].item() == pytest.approx(1)


def test_of_whole_models_new_directions_are_told_from_turns_among_leading_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    W0 = torch.linalg.qr(torch.randn(200, 200, generator=generator)).Q * torch.linspace(3, 0.1, 200)
    turned, new = (W0[:, :2] / W0[:, :2].norm(dim=0)).sum(dim=1), torch.randn(200, generator=generator)
    other = torch.randn(200, generator=generator)
    for direction, num_new in ((turned, 0), (new, 1)):
        W = W0 + 9 * torch.outer(direction / direction.norm(), other / other.norm())
        result = compare({"a.0.w.weight": W0}, {"a.0.w.weight": W}, k=5, epsilon=0.8)
        assert result.num_intruders >= 1
        assert result.count_new() == num_new


@pytest.mark.parametrize("exponent", [-38, -30, -20, 20, 30, 36])
def test_a_table_does_not_depend_on_the_scale_of_the_weights(exponent: int) -> None:
    base, tuned = pico_state(width=24), tuned_state(pico_state(width=24))
    expected = compare(base, tuned).matrices
    scaled = [{name: tensor * 10.0**exponent for name, tensor in state.items()} for state in (base, tuned)]
    table = compare(*scaled).matrices
    assert table["num_intruders"].tolist() == expected["num_intruders"].tolist()
    sizes = {"base_norm", "delta_norm", "delta_spectral_norm", "delta_nuclear_norm"}
    for column in expected.columns[expected.dtypes == "float64"]:
        unit = 10.0**exponent if column in sizes else 1
        tolerance = {"rtol": 1e-2, "atol": 1e-2} if exponent == -38 else {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(table[column] / unit, expected[column], **tolerance, err_msg=column)
