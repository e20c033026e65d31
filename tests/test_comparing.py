from __future__ import annotations

import copy
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

import spectra
from spectra import (
    CheckpointError,
    PairingError,
    ResultError,
    SpectraError,
    compare,
    open_checkpoint,
    read_comparisons,
    report,
    write_comparisons,
)
from spectra.results import to_markdown
from tests.oracles import paper_max_cosines, pico_model, pico_state, planted, randomise_adapter, tuned_state

NUMBERS = ["effective_rank", "stable_rank", "delta_norm", "relative_delta", "spike_ratio", "intruder_energy_share"]


def _planted_checkpoints(dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, int]]:
    """Matrices of several shapes with a known number of intruders at 0.45 each."""
    base, tuned, expected = {}, {}, {}
    for i, (shape, mixes) in enumerate(
        [((40, 40), [8, 1]), ((64, 24), [1, 8]), ((24, 64), [2, 2, 2]), ((30, 30), [1, 16])]
    ):
        W0, W, cosines = planted(np.random.default_rng(i), *shape, mixes)
        base[f"layers.{i}.q.weight"], tuned[f"layers.{i}.q.weight"] = W0.to(dtype), W.to(dtype)
        expected[f"layers.{i}.q"] = sum(c < 0.45 for c in cosines[:10])
    return base, tuned, expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_planted_intruders_in_files_of_every_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    base, tuned, expected = _planted_checkpoints(dtype)
    save_file(base, tmp_path / "base.safetensors")
    torch.save(tuned, tmp_path / "tuned.pt")
    result = compare(tmp_path / "base.safetensors", tmp_path / "tuned.pt", epsilon=0.45)
    assert dict(zip(result.matrices["name"], result.matrices["num_intruders"], strict=True)) == expected
    assert result.num_intruders == sum(expected.values()) > 0
    for name, cosines in zip(result.matrices["name"], result.matrices["max_cosine"], strict=True):
        weight = f"{name}.weight"
        np.testing.assert_allclose(cosines, paper_max_cosines(base[weight], tuned[weight]), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(32, 32), (48, 24), (24, 48)]),
    mixes=st.lists(st.sampled_from([1, 2, 8, 16]), min_size=1, max_size=4).filter(
        lambda found: max(found) > 1 and sum(found) <= 24
    ),
    dtype=st.sampled_from([torch.float16, torch.bfloat16]),
    signs=st.tuples(st.sampled_from([-1, 1]), st.sampled_from([-1, 1])),
    seed=st.integers(0, 9999),
)
def test_any_planted_intruders_survive_half_precision_files(
    shape: tuple[int, int], mixes: list[int], dtype: torch.dtype, signs: tuple[int, int], seed: int
) -> None:
    W0, W, cosines = planted(np.random.default_rng(seed), *shape, mixes)
    with tempfile.TemporaryDirectory() as folder:
        for name, matrix, sign in (("base", W0, signs[0]), ("tuned", W, signs[1])):
            save_file({"layers.0.q.weight": (sign * matrix).to(dtype)}, Path(folder, f"{name}.safetensors"))
        pair = Path(folder, "base.safetensors"), Path(folder, "tuned.safetensors")
        # Between 0.35 (a mixture of eight) and 0.71 (of two) there is room for the rounding of the file.
        assert compare(*pair).num_intruders == sum(c < 0.5 for c in cosines[:10])


def test_the_measures_of_a_row(rng: np.random.Generator) -> None:
    # Base diag(4, 3, 2) in R^4; the spike of size 9 along the fourth axis is the only change.
    W0 = torch.zeros(4, 3)
    W0[:3] = torch.diag(torch.tensor([4.0, 3.0, 2.0]))
    W = W0.clone()
    W[3, 2] = 9.0
    row = compare({"layers.5.q.weight": W0}, {"layers.5.q.weight": W}, k=2).matrices.iloc[0]
    assert (row["layer"], row["module"], row["rows"], row["cols"]) == (5, "q", 4, 3)
    top = (81 + 4) ** 0.5
    assert row["intruders"] == [0]
    assert row["nearest"] == [2, 0]
    assert row["max_cosine"] == pytest.approx([2 / top, 1.0], abs=1e-5)
    assert row["singular_values"] == pytest.approx([top, 4.0], rel=1e-5)
    assert row["base_singular_values"] == pytest.approx([4.0, 3.0], rel=1e-5)
    assert row["intruder_energy_share"] == pytest.approx(85 / (16 + 9 + 4 + 81), rel=1e-5)
    assert row["intruder_delta_share"] == pytest.approx(85 / 81, rel=1e-5)
    assert row["effective_rank"] == pytest.approx(1, abs=1e-3)
    assert row["delta_norm"] == pytest.approx(9, rel=1e-5)
    assert row["relative_delta"] == pytest.approx(9 / 29**0.5, rel=1e-5)
    assert row["spike_ratio"] == pytest.approx(9 / 4, rel=1e-5)
    assert 0.5 < row["null_cosine"] < row["null_cosine_q99"] <= 1
    assert np.array(row["cosines"]).shape == (2, 2)


def test_both_sides_at_once_equal_each_alone() -> None:
    base = pico_state()
    tuned = tuned_state(base, scale=1.0)
    both, left, right = (compare(base, tuned, side=side) for side in ("both", "left", "right"))
    assert both.matrices["max_cosine"].tolist() == left.matrices["max_cosine"].tolist()
    assert both.matrices["max_cosine_right"].tolist() == right.matrices["max_cosine"].tolist()
    assert both.num_intruders == left.num_intruders
    vectors = both.vectors
    assert vectors.groupby("side")["is_intruder"].sum().to_dict() == {
        "left": left.num_intruders,
        "right": right.num_intruders,
    }
    # A tall random update adds input directions too, but not the same number: the sides are not each other's copy.
    assert both.matrices["max_cosine"].tolist() != both.matrices["max_cosine_right"].tolist()


def test_adapter_merged_model_and_files_give_one_table(tmp_path: Path) -> None:
    for kind, targets in (("llama", "all-linear"), ("gpt2", ["c_attn", "c_fc", "c_proj"])):
        base = pico_model(kind)
        model = get_peft_model(
            copy.deepcopy(base), LoraConfig(r=2, lora_alpha=4, target_modules=targets, fan_in_fan_out=kind == "gpt2")
        )
        randomise_adapter(model)
        where = tmp_path / kind
        base.save_pretrained(where / "base")
        model.save_pretrained(where / "adapter")
        live = compare(base, model)
        merged = model.merge_and_unload()
        merged.save_pretrained(where / "merged")
        torch.save(merged.state_dict(), where / "merged.pt")
        results = [
            live,
            compare(base, merged),
            *compare(where / "base", [where / x for x in ("adapter", "merged", "merged.pt")]),
        ]
        tables = [result.matrices.set_index("name").sort_index() for result in results]
        assert tables[0]["num_intruders"].sum() > 0
        for table, result in zip(tables, results, strict=True):
            assert table["num_intruders"].tolist() == tables[0]["num_intruders"].tolist()
            np.testing.assert_allclose(
                table["max_cosine"].sum(), tables[0]["max_cosine"].sum(), atol=2e-5
            )  # lists joined
            # The merged weights carry the rounding of the sum; a rank-2 update of 16 columns shows it in the entropy.
            np.testing.assert_allclose(
                table[NUMBERS].astype(float), tables[0][NUMBERS].astype(float), rtol=1e-3, atol=1e-6
            )
            # A tied head is there in memory and not in the file.
            names = [
                {name.rsplit(".", 1)[-1] for name in r.skipped["name"]} - {"lm_head"} for r in (result, results[0])
            ]
            assert names[0] == names[1]


@pytest.mark.parametrize("lora", [False, True])
def test_gpt2_gives_the_papers_counts_for_every_matrix(lora: bool, tmp_path: Path) -> None:
    base = pico_model("gpt2")
    generator = torch.Generator().manual_seed(3)
    if lora:
        tuned = get_peft_model(
            copy.deepcopy(base), LoraConfig(r=2, target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True)
        )
        randomise_adapter(tuned)
        tuned.save_pretrained(tmp_path / "tuned")
        after = tuned.merge_and_unload().state_dict()
    else:
        tuned = copy.deepcopy(base)
        with torch.no_grad():
            for parameter in tuned.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        tuned.save_pretrained(tmp_path / "tuned")
        after = tuned.state_dict()
    base.save_pretrained(tmp_path / "base")
    expected = {}
    for name, W0 in base.state_dict().items():  # stored (in, out)
        key = name.removesuffix(".weight")
        if name.endswith("c_attn.weight"):
            for part, a, b in zip("qkv", W0.chunk(3, dim=1), after[name].chunk(3, dim=1), strict=True):
                expected[f"{key}[{part}]"] = paper_max_cosines(a.T, b.T)
        elif name.endswith(("c_fc.weight", "c_proj.weight")):
            expected[key] = paper_max_cosines(W0.T, after[name].T)
    table = compare(tmp_path / "base", tmp_path / "tuned").matrices
    assert set(table["name"]) == set(expected)
    for name, cosines in zip(table["name"], table["max_cosine"], strict=True):
        for epsilon in np.arange(0.1, 0.91, 0.1):
            assert sum(c < epsilon for c in cosines) == int((expected[name] < epsilon).sum()), (name, epsilon)
    assert 0 < sum(table["num_intruders"]) < 10 * len(table)


def test_many_tuned_equal_one_at_a_time() -> None:
    base = pico_state()
    tuned = [tuned_state(base, rank=r, seed=r) for r in (1, 2, 3)]
    for one, result in zip(tuned, compare(base, tuned), strict=True):
        pd.testing.assert_frame_equal(compare(base, one).matrices, result.matrices)


def test_the_base_is_decomposed_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import spectra.certified
    import spectra.exact

    calls = {"exact": 0, "certified": 0}
    full, part = spectra.exact.cached_svd, spectra.certified.leading

    def counted(name: str, real: Any) -> Any:
        def call(matrix: Any, *arguments: Any, **options: Any) -> Any:
            calls[name] += any(
                matrix.data_ptr() == one.data_ptr() for one in base.values() if hasattr(matrix, "data_ptr")
            )
            return real(matrix, *arguments, **options)

        return call

    monkeypatch.setattr(spectra.exact, "cached_svd", counted("exact", full))
    monkeypatch.setattr(spectra.certified, "leading", counted("certified", part))
    base = pico_state(width=128)  # four matrices
    tuned = [tuned_state(base, seed=s) for s in range(3)]
    for method in calls:
        compare(base, tuned, k=4, method=method)
        assert calls[method] == 4


def test_what_did_not_change_is_skipped_not_counted() -> None:
    base = pico_state()
    tuned = tuned_state(base)
    tuned["layers.0.mlp.up_proj.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    result = compare(base, tuned)
    assert result.num_matrices == 3
    assert result.skipped.set_index("name").loc["layers.0.mlp.up_proj", "reason"] == "unchanged: equal to the base"


@pytest.mark.parametrize("side", ["base", "tuned checkpoint"])
def test_nan_is_a_problem_that_names_side_and_number(side: str) -> None:
    base = pico_state()
    tuned = tuned_state(base)
    broken = base if side == "base" else tuned
    broken["layers.1.mlp.up_proj.weight"][0, :2] = float("nan")
    broken["layers.1.mlp.up_proj.weight"][1, 0] = float("inf")
    result = compare(base, tuned)
    (row,) = result.skipped[result.skipped["problem"]].itertuples()
    assert (row.name, row.reason) == ("layers.1.mlp.up_proj", f"the {side} holds 3 NaN or Inf values here")
    assert result.num_matrices == 3


def test_all_nan_leaves_nothing() -> None:
    base = pico_state()
    tuned = {name: tensor * float("nan") for name, tensor in base.items()}
    with pytest.raises(CheckpointError, match=r"as layers\.0\.self_attn\.q_proj: the tuned checkpoint holds 144 NaN"):
        compare(base, tuned)


def test_an_identical_pair_is_an_error() -> None:
    with pytest.raises(PairingError, match="all 4 matrices are equal, nothing was tuned"):
        compare(pico_state(), pico_state())


def _truncated(path: Path) -> Path:
    save_file(tuned_state(pico_state()), path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _with_unreadable_matrix(path: Path) -> Any:
    """Opens and pairs, and fails when its second matrix is read."""
    save_file(tuned_state(pico_state(), seed=3), path)
    opened = open_checkpoint(path)
    name = "layers.1.self_attn.q_proj.weight"

    def load(index: int | None) -> torch.Tensor:
        raise CheckpointError(f"{path}: {name} cannot be read; download it again")

    stored = dict(opened.tensors)
    stored[name] = dataclasses.replace(stored[name], load=load)
    return dataclasses.replace(opened, tensors=stored)


USELESS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "equal": (lambda path: pico_state(), "all 4 matrices are equal"),
    "all NaN": (lambda path: {n: t * math.nan for n, t in pico_state().items()}, "holds 144 NaN"),
    "absent": (lambda path: path, "no such file"),
    "truncated": (_truncated, "x.safetensors"),
    "unreadable": (_with_unreadable_matrix, "cannot be read; download it again"),
    "of another model": (lambda path: {"other.weight": torch.randn(3, 3)}, "other"),
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_useless_of_many_is_an_entry_and_the_others_are_as_without_it(
    tmp_path: Path, kind: str, place: int
) -> None:
    make, reason = USELESS[kind]
    useless = make(tmp_path / "x.safetensors")
    base = pico_state()
    good = [tuned_state(base, seed=seed) for seed in range(2)]
    results = compare(base, [*good[:place], useless, *good[place:]])
    assert [bool(result.failed) for result in results] == [at == place for at in range(3)]
    for result, tuned in zip([r for r in results if not r.failed], good, strict=True):
        pd.testing.assert_frame_equal(result.matrices, compare(base, tuned).matrices)
    failed = results[place]
    assert reason in failed.failed
    assert len(failed.skipped) > 0
    for ask in (
        lambda: failed.num_intruders,
        lambda: failed.count(0.5),
        lambda: failed.vectors,
        failed.worst_first,
        failed.at_chance_bounds,
    ):
        with pytest.raises(ResultError, match="nothing of it was compared"):
            ask()
    with pytest.raises(SpectraError, match=reason):  # and nothing else: it is an error, as one alone
        compare(base, [useless, useless])
    with pytest.raises(SpectraError, match=reason):
        compare(base, useless)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_a_useless_one_is_saved_with_the_others(tmp_path: Path, suffix: str) -> None:
    base = pico_state()
    results = compare(base, [base, tuned_state(base)])
    write_comparisons(results, tmp_path / f"r{suffix}")
    back = read_comparisons(tmp_path / f"r{suffix}")
    assert [result.failed for result in back] == [result.failed for result in results]
    assert back[1].num_intruders == results[1].num_intruders
    pd.testing.assert_frame_equal(back[0].skipped, results[0].skipped)
    assert "all 4 matrices are equal" in report(back)
    assert "all 4 matrices are equal" in to_markdown(back).decode()


def test_a_path_that_is_no_text_is_shown(tmp_path: Path) -> None:
    place = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.safetensors")
    save_file(pico_state(), tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").rename(place)
    result = compare(place, tuned_state(pico_state()))
    assert result.base.endswith("caf\\udce9.safetensors")
    for suffix in (".json", ".csv", ".parquet"):
        result.write(tmp_path / f"r{suffix}")
        assert read_comparisons(tmp_path / f"r{suffix}")[0].base == result.base


def test_several_stacks_are_told_apart() -> None:
    base = {f"{stack}.block.{i}.q.weight": torch.randn(8, 8) for stack in ("encoder", "decoder") for i in range(2)}
    result = compare(base, {name: tensor + 1 for name, tensor in base.items()})
    assert sorted(set(result.matrices["module"])) == ["decoder.block.q", "encoder.block.q"]


def test_one_tuned_does_not_decide_how_the_base_is_read_for_another(tmp_path: Path) -> None:
    # The base has no config: one tuned checkpoint says its layers are Conv1D, the other says nothing.
    base = {f"h.0.mlp.{n}.weight": torch.randn(8, 8) for n in ("c_fc", "c_proj")}
    save_file(base, tmp_path / "base.safetensors")
    for name, config in (("with", '{"model_type": "gpt2"}'), ("without", None)):
        (tmp_path / name).mkdir()
        save_file({n: t + torch.randn(8, 8) for n, t in base.items()}, tmp_path / name / "model.safetensors")
        if config:
            (tmp_path / name / "config.json").write_text(config)
    tuned = [tmp_path / "with", tmp_path / "without"]
    for one, result in zip(tuned, compare(tmp_path / "base.safetensors", tuned), strict=True):
        pd.testing.assert_frame_equal(compare(tmp_path / "base.safetensors", one).matrices, result.matrices)


def test_an_all_zero_tuned_matrix_has_no_energy_to_share() -> None:
    row = compare({"a.0.w.weight": torch.randn(5, 5)}, {"a.0.w.weight": torch.zeros(5, 5)}).matrices.iloc[0]
    assert row["intruder_energy_share"] == 0
    assert row["relative_delta"] == pytest.approx(1)


def test_one_pattern_need_not_be_in_a_list() -> None:
    base = pico_state()
    result = compare(base, tuned_state(base), include="q_proj")
    assert set(result.matrices["module"]) == {"self_attn.q_proj"}


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    base = pico_state()
    compare(base, tuned_state(base), progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 4, "layers.0.self_attn.q_proj")
    assert seen[-1][:2] == (4, 4)


def test_provenance(tmp_path: Path) -> None:
    import hashlib

    base = pico_state()
    save_file(base, tmp_path / "base.safetensors")
    result = compare(tmp_path / "base.safetensors", tuned_state(base, seed=3), k=5, dtype="float64")
    content = (tmp_path / "base.safetensors").read_bytes()
    assert result.provenance["base"]["files"] == [
        {
            "path": str(tmp_path / "base.safetensors"),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert result.provenance["tuned"]["kind"] == "in memory"
    assert {key: result.provenance[key] for key in ("k", "dtype", "device", "matched")} == {
        "k": 5, "dtype": "float64", "device": "cpu", "matched": 4,
    }  # fmt: skip
    assert result.provenance["versions"]["spectra"] == spectra.__version__
    assert result.provenance["seconds"] > 0


@pytest.mark.parametrize(
    "options", [{"epsilon": 0.0}, {"epsilon": 1.5}, {"k": 0}, {"side": "x"}, {"dtype": "float16"}, {"method": "x"}]
)
def test_refuses_options_in_a_sentence(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must (be|lie)"):
        compare(pico_state(), pico_state(), **options)


def test_refuses_no_tuned() -> None:
    with pytest.raises(PairingError, match="at least one"):
        compare(pico_state(), [])
