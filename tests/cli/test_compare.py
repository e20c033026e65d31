from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import spectra as library
from tests.cli.conftest import Spectra
from tests.oracles import pico_state, planted, tuned_state

PAIR = ("compare", "base.safetensors", "tuned.safetensors")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_table_with_the_worst_first_and_the_total_last(spectra: Spectra) -> None:
    result = spectra(*PAIR)
    assert (result.exit_code, result.stderr) == (0, "")
    expected = library.compare("base.safetensors", "tuned.safetensors")
    lines = _lines(result.stdout)
    assert "tuned.safetensors" in lines[0]
    rows = [line.split() for line in lines[2:7]]
    counts = [int(row[1]) for row in rows[:4]]
    assert counts == sorted(counts, reverse=True) == expected.worst_first()["num_intruders"].tolist()
    assert rows[4][:3] == ["all", "4", str(expected.num_intruders)]
    assert expected.summary() in " ".join(result.stdout.split())
    assert "4 matrices matched; 4 skipped" in result.stdout
    assert "Chance: a random direction" in result.stdout


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(spectra: Spectra, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = spectra(*PAIR).stdout.splitlines()
    assert max(map(len, lines)) <= width
    heading = next(line for line in lines if line.startswith("matrix"))
    assert "intruders" in heading
    assert ("shape" in heading) == (width >= 120)
    # Names stay readable: the part that tells matrices apart is there.
    assert sum("q_proj" in line for line in lines) >= 2


def test_names_in_brackets_are_shown_as_they_are(spectra: Spectra) -> None:
    base = {"mlp.experts.up_proj": torch.eye(8).repeat(2, 1, 1), "bold.weight": torch.eye(4)}
    save_file(base, "x[bold].safetensors")
    save_file({n: t + torch.ones_like(t).triu() for n, t in base.items()}, "y[red].safetensors")
    shown = spectra("compare", "x[bold].safetensors", "y[red].safetensors").stdout
    for text in ("x[bold].safetensors", "y[red].safetensors", "mlp.experts.up_proj[0]", "mlp.experts.up_proj[1]"):
        assert text in shown
    assert "mlp.experts.up_proj[1]" in spectra("inspect", "x[bold].safetensors").stdout


def test_a_large_model_is_cut_to_what_a_person_can_read(spectra: Spectra) -> None:
    base = pico_state(layers=200, width=4)
    save_file(base, "big.safetensors")
    save_file(tuned_state(base), "big-tuned.safetensors")
    lines = _lines(spectra("compare", "big.safetensors", "big-tuned.safetensors").stdout)
    assert len(lines) < 45
    (rest,) = [line for line in lines if line.startswith("… ")]
    assert rest.split()[1] == "375"
    everything = json.loads(spectra("compare", "big.safetensors", "big-tuned.safetensors", "--format", "json").stdout)
    assert len(everything["matrices"]) == 400


@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize("format_", ["json", "csv", "parquet", "markdown"])
def test_every_format_on_stdout_and_in_a_file(spectra: Spectra, format_: str, to_file: bool) -> None:
    suffix = {"markdown": "md"}.get(format_, format_)
    if to_file:
        result = spectra(*PAIR, "-o", f"r.{suffix}")
        content = Path(f"r.{suffix}").read_bytes()
        assert result.stdout == ""
    else:
        result = spectra(*PAIR, "--format", format_)
        content = result.stdout_bytes
    assert (result.exit_code, result.stderr) == (0, "")
    expected = library.compare("base.safetensors", "tuned.safetensors")
    if format_ == "json":
        assert json.loads(content)["num_intruders"] == expected.num_intruders
    elif format_ == "markdown":
        assert content.decode().count("| layers.") == 4
    else:
        table = pd.read_csv(io.BytesIO(content)) if format_ == "csv" else pd.read_parquet(io.BytesIO(content))
        assert table["num_intruders"].sum() == expected.num_intruders


def test_options_reach_the_library(spectra: Spectra) -> None:
    options = [
        "-k",
        3,
        "-e",
        0.8,
        "--side",
        "right",
        "--include",
        "q_proj",
        "--exclude",
        "layers.1",
        "--dtype",
        "float64",
    ]
    document = json.loads(spectra(*PAIR, *options, "--format", "json").stdout)
    assert (document["k"], document["epsilon"], document["side"]) == (3, 0.8, "right")
    assert [m["name"] for m in document["matrices"]] == ["layers.0.self_attn.q_proj"]
    assert document["provenance"]["dtype"] == "float64"


def test_several_tuned_give_a_list_and_a_summary(spectra: Spectra) -> None:
    save_file(tuned_state(pico_state(), scale=0.01), "gentle.safetensors")
    found = json.loads(spectra(*PAIR, "gentle.safetensors", "--format", "json").stdout)
    assert [d["tuned"] for d in found] == ["tuned.safetensors", "gentle.safetensors"]
    assert found[0]["num_intruders"] > found[1]["num_intruders"]
    tail = _lines(spectra(*PAIR, "gentle.safetensors").stdout)[-2:]
    assert [line.split()[0] for line in tail] == ["tuned.safetensors", "gentle.safetensors"]


def test_of_both_sides_the_one_with_more_passes_the_gate_or_not(spectra: Spectra) -> None:
    W0, W, cosines = planted(np.random.default_rng(0), 24, 24, [8, 8], right=True)
    for name, matrix in (("a.safetensors", W0), ("b.safetensors", W)):
        save_file({"layers.0.q.weight": matrix}, name)
    few = sum(cosine < 0.5 for cosine in cosines[:10])
    assert few == 10
    assert spectra("compare", "a.safetensors", "b.safetensors", "--fail-over", 0).exit_code == 0
    both = ("compare", "a.safetensors", "b.safetensors", "--side", "both", "--fail-over")
    assert spectra(*both, few).exit_code == 0
    result = spectra(*both, few - 1)
    assert result.exit_code == 1
    assert result.stderr == "spectra: b.safetensors: 10 intruder dimensions, more than 9\n"


def test_the_gate(spectra: Spectra) -> None:
    count = library.compare("base.safetensors", "tuned.safetensors").num_intruders
    assert spectra(*PAIR, "--fail-over", count).exit_code == 0
    result = spectra(*PAIR, "--fail-over", count - 1)
    assert result.exit_code == 1
    assert result.stderr == f"spectra: tuned.safetensors: {count} intruder dimensions, more than {count - 1}\n"
    assert "intruders" in result.stdout  # the table is there all the same
    save_file(tuned_state(pico_state(), scale=0.01), "gentle.safetensors")
    assert (
        spectra(
            "compare", "base.safetensors", "gentle.safetensors", "tuned.safetensors", "--fail-over", count - 1
        ).exit_code
        == 1
    )


def test_progress_goes_to_stderr_and_quiet_silences_it(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    import cli.progress

    monkeypatch.setattr(cli.progress, "_LINE_EVERY", 0.0)
    assert spectra(*PAIR).stderr.startswith("comparing: 0/4 after")
    assert spectra(*PAIR, "--quiet").stderr == ""


# -- bad input: one line on stderr, exit code 2, nothing on stdout, no traceback --


def _code_in_a_pickle(path: Path) -> str:
    class Runs:
        def __reduce__(self) -> object:
            return (Path.touch, (path.parent / "it-ran",))

    torch.save({"a": torch.ones(2, 2), "x": Runs()}, path)
    return path.name


def _cut(path: Path) -> str:
    path.write_bytes(Path("tuned.safetensors").read_bytes()[:-100])
    return path.name


def _saved(path: Path, **changes: torch.Tensor) -> str:
    state = tuned_state(pico_state())
    save_file(state | {n.replace("__", "."): t for n, t in changes.items()}, path)
    return path.name


def _all_nan(path: Path) -> str:
    save_file({n: torch.full_like(t, float("nan")) for n, t in pico_state().items()}, path)
    return path.name


def _adapter_for_another_model(path: Path) -> str:
    folder = path.parent / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')
    module = "base_model.model.transformer.blocks.0.attention"
    save_file(
        {f"{module}.lora_A.weight": torch.ones(2, 12), f"{module}.lora_B.weight": torch.ones(12, 2)},
        folder / "adapter_model.safetensors",
    )
    return "adapter"


def _zero3(path: Path) -> str:
    save_file({n: torch.zeros(0) for n in pico_state()}, path)
    return path.name


def _cut_pt(path: Path) -> str:
    torch.save(tuned_state(pico_state()), path)
    path.write_bytes(path.read_bytes()[:-500])
    return path.name


def _huge_header(path: Path) -> str:
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    return path.name


def _all_inf(path: Path) -> str:
    save_file({n: torch.full_like(t, float("inf")) for n, t in pico_state().items()}, path)
    return path.name


def _index(folder: Path, shard: str) -> str:
    folder.mkdir()
    (folder / "model-1.safetensors").touch()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": shard}}))
    return folder.name


BAD = {
    "truncated PyTorch file": (lambda p: _cut_pt(p / "cut.pt"), "cut.pt: not a readable PyTorch file"),
    "a header of four exabytes": (lambda p: _huge_header(p / "h.safetensors"), "h.safetensors: not a readable safetensors file"),
    "Inf everywhere": (lambda p: _all_inf(p / "inf.safetensors"), "NaN or Inf values here"),
    "an index that leaves its folder": (lambda p: _index(p / "shards", "../base.safetensors"), "does not lie beside the index"),
    "an index without its shard": (lambda p: _index(p / "shards", "model-2.safetensors"), "'model-2.safetensors' is missing"),
    "an empty shard of an index": (lambda p: _index(p / "shards", "model-1.safetensors"), "model-1.safetensors: the file is empty"),
    "missing file": (lambda p: "nowhere.safetensors", "nowhere.safetensors: no such file or directory"),
    "a pickle that would run code": (lambda p: _code_in_a_pickle(p / "evil.pt"), "evil.pt: refused, because it holds Python objects"),
    "truncated": (lambda p: _cut(p / "cut.safetensors"), "cut.safetensors: not a readable safetensors file"),
    "empty shard": (lambda p: ((p / "e.safetensors").touch(), "e.safetensors")[1], "e.safetensors: the file is empty (0 bytes)"),
    "NaN everywhere": (lambda p: _all_nan(p / "nan.safetensors"), "nan.safetensors: nothing can be compared with base.safetensors, as layers.0"),
    "no names in common": (lambda p: (save_file({"x.y.weight": torch.ones(2, 2)}, p / "x.safetensors"), "x.safetensors")[1], "no tensor name in common; the base has embed_tokens.weight, layers.0"),
    "shapes that differ": (lambda p: (save_file(pico_state(width=8), p / "s.safetensors"), "s.safetensors")[1], "shapes differ: (24, 12) in the base, (16, 8)"),
    "an adapter for another model": (lambda p: _adapter_for_another_model(p / "x"), "adapter: the adapter fits no module of the base; the base has embed_tokens.weight"),
    "an identical pair": (lambda p: "base.safetensors", "all 4 matrices are equal, nothing was tuned"),
    "ZeRO-3 shapes": (lambda p: _zero3(p / "z.safetensors"), "a ZeRO-3 shard that was saved without gathering"),
    "not a checkpoint": (lambda p: ((p / "notes.txt").write_text("hi"), "notes.txt")[1], "notes.txt: not a format spectra reads"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_exit_code_2(spectra: Spectra, tmp_path: Path, what: str) -> None:
    make, message = BAD[what]
    result = spectra("compare", "base.safetensors", make(tmp_path), "--format", "json", "-o", "out.json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("spectra: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("out.json").exists()
    assert not Path("it-ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers__0__mlp__up_proj__weight": torch.full((24, 12), float("nan"))}, "layers.0.mlp.up_proj was not compared, as the tuned checkpoint holds 288 NaN"),
        ({"layers__0__mlp__up_proj__weight": torch.ones(20, 12)}, "layers.0.mlp.up_proj was not compared, as shapes differ"),
    ],
)  # fmt: skip
def test_one_damaged_matrix_does_not_hide_the_rest_nor_pass_a_gate(
    spectra: Spectra, tmp_path: Path, changes: dict[str, torch.Tensor], message: str
) -> None:
    name = _saved(tmp_path / "damaged.safetensors", **changes)
    result = spectra("compare", "base.safetensors", name, "--fail-over", 1000)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "all 3" in result.stdout
    assert spectra("compare", "base.safetensors", name, "--exclude", r"0\.mlp").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("compare", "base.safetensors"), "Missing argument"),
        ((*PAIR, "-e", 0), "0.0 is not in the range"),
        ((*PAIR, "-k", 0), "0 is not in the range"),
        ((*PAIR, "-o", "x.xlsx"), "cannot tell a format"),
        ((*PAIR, "--include", "("), "is not a regular expression"),
        ((*PAIR, "-o", "no/such/folder.json"), "cannot be written"),
        ((*PAIR, "--device", "warp"), "device"),
        ((*PAIR, "--device", "cuda:9"), "device"),
    ],
)
def test_unusable_arguments(spectra: Spectra, args: tuple[object, ...], message: str) -> None:
    result = spectra(*args)
    assert result.exit_code == 2
    assert message in result.stderr


def test_files_are_whole_after_a_run(spectra: Spectra) -> None:
    before = load_file("tuned.safetensors")
    spectra(*PAIR, "-o", "r.json")
    after = load_file("tuned.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert sorted(p.name for p in Path().iterdir()) == ["base.safetensors", "r.json", "tuned.safetensors"]


def test_several_thresholds_at_once(spectra: Spectra) -> None:
    shown = spectra("compare", "base.safetensors", "tuned.safetensors", "-e", 0.5, "-e", 0.3).stdout
    document = json.loads(
        spectra("compare", "base.safetensors", "tuned.safetensors", "-e", 0.5, "-e", 0.3, "--format", "json").stdout
    )
    assert document["epsilon"] == 0.5
    assert document["counts"]["0.5"] == document["num_intruders"]
    assert f"At ε = 0.5: {document['counts']['0.5']}, 0.3: {document['counts']['0.3']}." in shown


@pytest.mark.parametrize("method", ["auto", "exact", "certified"])
def test_every_method_gives_the_same_verdict(spectra: Spectra, method: str) -> None:
    base = pico_state(layers=1, width=140)
    save_file(base, "wide.safetensors")
    save_file(tuned_state(base, rank=2), "wide-tuned.safetensors")
    arguments = (
        "compare",
        "wide.safetensors",
        "wide-tuned.safetensors",
        "-k",
        4,
        "--method",
        method,
        "--format",
        "json",
    )
    document = json.loads(spectra(*arguments).stdout)
    assert (
        document["num_intruders"] == library.compare(base, tuned_state(base, rank=2), k=4, method="exact").num_intruders
    )
    assert {row["method"] for row in document["matrices"]} == {"certified" if method == "certified" else "exact"}


def test_ranks_can_be_estimated(spectra: Spectra) -> None:
    base = pico_state(layers=1, width=140)
    save_file(base, "wide.safetensors")
    save_file({name: W + 0.1 * W.flip(0) for name, W in base.items()}, "wide-tuned.safetensors")
    rows = {}
    for ranks in ("exact", "estimated"):
        arguments = ("compare", "wide.safetensors", "wide-tuned.safetensors", "--ranks", ranks, "--format", "json")
        (rows[ranks], *_) = json.loads(spectra(*arguments).stdout)["matrices"]
    error = rows["estimated"]["effective_rank_error"]
    assert error > rows["exact"]["effective_rank_error"] == 0
    assert abs(rows["estimated"]["effective_rank"] - rows["exact"]["effective_rank"]) < 4 * error
