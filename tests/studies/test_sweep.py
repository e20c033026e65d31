from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import spectra
from spectra import Recipe, RecipeError, SpectraError, Study, compare, forgetting, sweep, sweep_existing, train
from spectra.studies import sweep as module
from tests.failing import WRITES, content, each_failure
from tests.oracles import pico_model, pico_state, tuned_state
from tests.processes import start, waiting

FAST = {"num_sequences": 4, "length": 12, "k": 3, "epsilon": [0.5, 0.9]}
VOLATILE = ["seconds"]


def test_one_row_a_run_with_what_compare_train_and_forgetting_say(
    grid: dict[str, Any], text: Path, tmp_path: Path
) -> None:
    study = sweep(grid, tmp_path / "s", text=text, **FAST)
    table = study.table
    assert table["method"].tolist() == ["full", "lora", "lora"]
    assert table["rank"].tolist()[1:] == [1, 4]
    assert pd.isna(table["rank"][0])
    assert table["status"].tolist() == ["done"] * 3
    run = spectra.Run.open(tmp_path / "s" / "runs" / table["run"][1])
    result = compare(grid["base"], run.path, k=3, epsilon=[0.5, 0.9])
    row = table.iloc[1]
    assert (row["num_intruders_0.5"], row["num_intruders_0.9"]) == (result.count(0.5), result.count(0.9))
    assert row["accuracy"] == run.metrics["accuracy"]
    assert row["accuracy_standard_error"] == pytest.approx((row["accuracy"] * (1 - row["accuracy"]) / 12) ** 0.5)
    lost = forgetting(grid["base"], run.path, text, num_sequences=4, length=12).table.iloc[1]
    assert row["forgetting"] == pytest.approx(lost["rise"], abs=1e-6)
    assert row["num_vectors"] == sum(map(len, result.matrices["max_cosine"]))
    vectors = pd.read_parquet(tmp_path / "s" / "vectors.parquet")
    assert vectors.groupby("run").size().to_dict() == dict(zip(table["run"], table["num_vectors"], strict=True))
    assert (vectors[vectors["run"] == row["run"]]["max_cosine_upper"] < 0.9).sum() == row["num_intruders_0.9"]
    back = Study.read(tmp_path / "s" / "runs.parquet")
    pd.testing.assert_frame_equal(back.table, table)


def test_nothing_is_trained_or_measured_twice(
    grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sweep(grid, tmp_path / "s", **FAST)
    monkeypatch.setattr(module, "compare", lambda *args, **options: pytest.fail("measured twice"))
    monkeypatch.setattr(module, "train", lambda *args, **options: pytest.fail("trained twice"))
    pd.testing.assert_frame_equal(sweep(grid, tmp_path / "s", **FAST).table, first.table)
    with pytest.raises(pytest.fail.Exception):  # negative control: another k is measured again
        sweep(grid, tmp_path / "s", **FAST | {"k": 2})


def test_other_options_measure_again_and_train_nothing(
    grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(grid, tmp_path / "s", **FAST)
    monkeypatch.setattr(module, "train", lambda recipe, path, **options: spectra.Run.open(path))
    assert sweep(grid, tmp_path / "s", **FAST | {"k": 2}).table["num_vectors"].max() < 3 * 14


def test_an_edited_text_is_measured_again_and_an_edited_task_trained_again(
    grid: dict[str, Any], text: Path, tmp_path: Path
) -> None:
    task = tmp_path / "task.jsonl"
    task.write_bytes(Path(grid["task"]).read_bytes())
    grid |= {"task": str(task), "variants": [{"method": "lora", "rank": 1}]}

    def found(folder: str) -> pd.Series:
        return sweep(grid, tmp_path / folder, text=text, **FAST).table.iloc[0].drop("seconds")

    first = found("s")
    text.write_text("\n\n".join(text.read_text().split("\n\n")[::-1]))
    second = found("s")
    assert second["forgetting"] != first["forgetting"]
    assert second["accuracy"] == first["accuracy"]
    lines = [json.loads(line) for line in task.read_text().splitlines()]
    task.write_text("\n".join(json.dumps(line | {"label": 1 - line["label"]}) for line in lines))
    third = found("s")
    assert third["forgetting"] != second["forgetting"]
    pd.testing.assert_series_equal(third, found("fresh"))


def test_runs_of_a_base_that_was_replaced_are_trained_again(grid: dict[str, Any], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(grid["base"], base)
    grid |= {"base": str(base), "variants": [{"method": "lora", "rank": 1}]}

    def found(folder: str) -> pd.Series:
        return sweep(grid, tmp_path / folder, **FAST).table.iloc[0].drop("seconds")

    first = found("s")
    tensors = load_file(base / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, base / "model.safetensors", {"format": "pt"})
    second = found("s")
    assert second["relative_delta"] != first["relative_delta"]
    pd.testing.assert_series_equal(second, found("fresh"))


def test_a_failed_run_is_recorded_and_the_rest_goes_on(grid: dict[str, Any], tmp_path: Path) -> None:
    grid["variants"].append({"method": "full", "learning_rate": 1e30})
    study = sweep(grid, tmp_path / "s", **FAST)
    assert study.table["status"].tolist() == ["done", "done", "done", "failed"]
    assert "diverged" in study.table["reason"].iloc[-1]
    assert len(pd.read_parquet(tmp_path / "s" / "vectors.parquet")["run"].unique()) == 3


def test_killed_in_the_middle_and_run_again_it_ends_where_it_would_have(
    grid: dict[str, Any], text: Path, tmp_path: Path
) -> None:
    expected = sweep(grid, tmp_path / "whole", text=text, **FAST).table
    code = f"""
import os, signal
import spectra
def kill(done, total, words):
    if done > 140: os.kill(os.getpid(), signal.SIGKILL)  # within the training of the second of three runs
spectra.sweep({grid!r}, {str(tmp_path / "cut")!r}, text={str(text)!r}, progress=kill, **{FAST!r})
"""
    with start(code) as killed:
        assert killed.communicate() == ("", "")
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cut" / "measured").glob("*.parquet"))) == 1
    assert not (tmp_path / "cut" / "runs.parquet").exists()
    second = tmp_path / "cut" / "runs" / expected["run"][1]
    assert second.exists()
    assert not (second / "metrics.json").exists()
    trained: list[str] = []
    original = module.train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "train", lambda recipe, path, **o: trained.append(Path(path).name) or original(recipe, path, **o)
        )
        again = sweep(grid, tmp_path / "cut", text=text, **FAST).table
    assert trained == expected["run"].tolist()[1:]  # what was finished is not trained twice
    pd.testing.assert_frame_equal(again.drop(columns=VOLATILE), expected.drop(columns=VOLATILE))
    vectors = [pd.read_parquet(tmp_path / name / "vectors.parquet") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*vectors)


def test_the_second_process_in_a_folder_waits_for_a_run_and_takes_it_as_finished(
    grid: dict[str, Any], text: Path, tmp_path: Path
) -> None:
    expected = sweep(grid, tmp_path / "alone", text=text, **FAST).table
    code = f"""
import spectra
def report(done, total, words):
    if done > 140 and not said:  # within the training of the second of three runs
        said.append(print("in the middle", flush=True))
        sys.stdin.read()
said = []
spectra.sweep({grid!r}, {str(tmp_path / "s")!r}, text={str(text)!r}, progress=report, **{FAST!r})
"""
    trained: list[str] = []
    original = module.train
    with waiting(code, "in the middle") as first, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "train", lambda recipe, path, **o: trained.append(Path(path).name) or original(recipe, path, **o)
        )

        def report(done: int, total: int, words: str) -> None:
            if f"waiting for process {first.pid}" in words:
                assert first.stdin is not None
                first.stdin.close()  # let it go on

        table = sweep(grid, tmp_path / "s", text=text, progress=report, **FAST).table
        assert first.wait() == 0
    assert expected["run"][0] not in trained
    assert expected["run"][1] not in trained
    pd.testing.assert_frame_equal(table.drop(columns=VOLATILE), expected.drop(columns=VOLATILE))
    assert not any(name.endswith("lock") or "/.spectra" in name or "partial" in name for name in content(tmp_path))
    assert content(tmp_path / "s").keys() == content(tmp_path / "alone").keys()


@pytest.mark.slow
def test_processes_that_sweep_one_folder_at_once_all_make_the_same_table(
    grid: dict[str, Any], text: Path, tmp_path: Path
) -> None:
    expected = sweep(grid, tmp_path / "alone", text=text, **FAST).table
    code = f"""
import spectra
table = spectra.sweep({grid!r}, {str(tmp_path / "s")!r}, text={str(text)!r}, **{FAST!r}).table
print(table.drop(columns="seconds").to_json())
"""
    processes = [start(code) for _ in range(3)]
    output = [process.communicate() for process in processes]
    assert [error for _, error in output] == [""] * 3
    assert [out.strip() for out, _ in output] == [expected.drop(columns="seconds").to_json()] * 3
    assert content(tmp_path / "s").keys() == content(tmp_path / "alone").keys()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-100],
    "other things": lambda data: b"PAR1" + bytes(100),
    "one bit of a number": lambda data: data[:60] + bytes([data[60] ^ 0x20]) + data[61:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_measurement_is_made_again(
    grid: dict[str, Any], tmp_path: Path, damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid |= {"variants": [{"method": "lora", "rank": 1}], "max_steps": 1}
    first = sweep(grid, tmp_path / "s", **FAST).table
    (kept,) = (tmp_path / "s" / "measured").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    monkeypatch.setattr(module, "train", lambda recipe, path, **options: spectra.Run.open(path))  # it is whole
    pd.testing.assert_frame_equal(sweep(grid, tmp_path / "s", **FAST).table, first)
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("name", ["metrics.json", "recipe.yaml"])
def test_a_damaged_run_is_made_again(grid: dict[str, Any], tmp_path: Path, name: str) -> None:
    grid |= {"variants": [{"method": "lora", "rank": 1}], "max_steps": 1}
    first = sweep(grid, tmp_path / "s", **FAST).table.drop(columns=VOLATILE)
    (run,) = (tmp_path / "s" / "runs").iterdir()
    (run / name).write_bytes(b"\xff")
    pd.testing.assert_frame_equal(sweep(grid, tmp_path / "s", **FAST).table.drop(columns=VOLATILE), first)  # not read
    other = sweep(grid, tmp_path / "s", **FAST | {"k": 2}).table
    assert other["accuracy"].tolist() == first["accuracy"].tolist()


def test_whatever_call_fails_the_two_tables_are_of_one_sweep(tmp_path: Path) -> None:
    def tables(names: list[str]) -> None:
        rows = [{"run": name, "status": "done"} for name in names]
        module._finished(rows, [pd.DataFrame({"run": names, "index": 0})], {}, tmp_path / "s")

    (tmp_path / "s").mkdir()
    tables(["old"])
    kinds = tuple(kind for kind in WRITES if kind != "replace")  # of which there are two
    for failed in each_failure(kinds, lambda: tables(["new"]), allowed=SpectraError):
        read = [pd.read_parquet(tmp_path / "s" / name)["run"].tolist() for name in ("runs.parquet", "vectors.parquet")]
        assert read in ([["old"]] * 2, [["new"]] * 2), failed
        assert set(content(tmp_path / "s")) == {"runs.parquet", "vectors.parquet"}, failed
        tables(["old"])
    assert pd.read_parquet(tmp_path / "s" / "runs.parquet")["run"].tolist() == ["new"]


def test_progress_says_which_run_and_how_long(grid: dict[str, Any], tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    sweep(grid, tmp_path / "s", **FAST, progress=lambda *report: seen.append(report))
    assert all(0 <= done <= total == 300 for done, total, _ in seen)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert "run 3 of 3" in seen[-1][2]
    assert "left" in seen[-1][2]


def test_checkpoints_trained_elsewhere(grid: dict[str, Any], tmp_path: Path) -> None:
    study = sweep(grid, tmp_path / "s", **FAST)
    paths = [str(tmp_path / "s" / "runs" / name) for name in study.table["run"]]
    (tmp_path / "plain").mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):  # an adapter that is no run of ours
        (tmp_path / "plain" / file).write_bytes(Path(paths[2], file).read_bytes())
    found = sweep_existing(
        grid["base"], [*paths, tmp_path / "plain", tmp_path / "absent"], tmp_path / "e", k=3, epsilon=[0.5, 0.9]
    ).table
    columns = ["method", "rank", "alpha", "accuracy", "num_intruders_0.9", "effective_rank"]
    pd.testing.assert_frame_equal(found[columns][:3], study.table[columns], check_dtype=False)
    assert found[["method", "rank", "alpha", "num_intruders_0.9"]].iloc[3].tolist() == [
        "lora", 4, 8, study.table["num_intruders_0.9"][2]
    ]  # fmt: skip
    assert found["status"].tolist() == ["done"] * 4 + ["failed"]
    assert json.loads(json.dumps(found["reason"].iloc[-1])).startswith(str(tmp_path / "absent"))
    assert (tmp_path / "e" / "vectors.parquet").exists()


def test_one_checkpoint_elsewhere_and_models_in_memory_have_names_of_their_own() -> None:
    base, tuned = (pico_model("llama", seed=seed) for seed in (0, 1))
    found = sweep_existing(base, tuned, k=3).table
    assert len(found) == 1
    twice = sweep_existing(base, [tuned, tuned, tuned.state_dict()], k=3).table
    assert twice["run"].is_unique
    assert all(len(name) < 60 for name in twice["run"])
    with pytest.raises(SpectraError, match="nowhere"):  # not a letter at a time
        sweep_existing(base, "./nowhere", k=3)


def test_an_existing_checkpoint_with_a_broken_matrix_has_no_count() -> None:
    base = pico_state()
    whole, broken = tuned_state(base), tuned_state(base)
    broken["layers.0.self_attn.q_proj.weight"][0, 0] = float("nan")
    table = sweep_existing(base, [whole, broken], k=4).table
    assert table["status"].tolist() == ["done", "failed"]
    assert "q_proj was not compared, as the tuned checkpoint holds 1 NaN or Inf values here" in table["reason"][1]
    assert table["num_intruders_0.5"].isna().tolist() == [False, True]
    table = sweep_existing(
        {**base, "layers.0.self_attn.q_proj.weight": broken["layers.0.self_attn.q_proj.weight"]}, [whole]
    )
    assert table.table["status"].tolist() == ["failed"]  # so it is where the base is broken


def test_models_in_memory_are_no_run_of_the_working_directory(
    grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(Recipe(base=grid["base"], task=grid["task"], rank=2, max_steps=1, batch_size=4), tmp_path / "run")
    monkeypatch.chdir(run.path)
    base, tuned = (pico_model("llama", seed=seed) for seed in (0, 1))
    table = sweep_existing(base, [tuned, tuned.state_dict()], k=3).table
    assert table[["method", "rank", "alpha"]].isna().all(axis=None)
    assert "accuracy" not in table
    assert sweep_existing(grid["base"], ".", k=3).table["rank"].tolist() == [2]  # negative control


def test_mistakes(grid: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="one base"):
        sweep({**grid, "base": ["a", "b"]}, tmp_path / "s")
    with pytest.raises(SpectraError, match=r"none of 3 runs succeeded; the first: .*absent"):
        sweep({**grid, "task": "absent.csv"}, tmp_path / "s")
    with pytest.raises(SpectraError, match="no tuned checkpoint"):
        sweep_existing(grid["base"], [])
    with pytest.raises(ValueError, match="epsilon is a cosine"):
        sweep(grid, tmp_path / "s", epsilon=5)
    with pytest.raises(SpectraError, match=r"absent\.txt"):  # before anything is trained
        sweep(grid, tmp_path / "t", text=tmp_path / "absent.txt", length=12)
    assert not (tmp_path / "t").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SpectraError, match="the folder cannot be made"):
        sweep(grid, tmp_path / "file" / "s")
