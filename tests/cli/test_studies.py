"""sweep, forgetting, intervene, continual, report: what they print and write; what they compute is tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spectra import Study
from tests.cli.conftest import Spectra
from tests.conftest import WORDS

FAST = ("--max-steps", 3, "--max-length", 16)
ON_TEXT = ("--sequences", 4, "--length", 12)


@pytest.fixture
def text(spectra: Spectra, rng: np.random.Generator) -> str:
    paragraphs = [". ".join(" ".join(rng.choice(WORDS, size=8)) for _ in range(4)) for _ in range(20)]
    Path("general.txt").write_text("\n\n".join(paragraphs))
    return "general.txt"


@pytest.fixture
def swept(spectra: Spectra, pico: dict[str, Path], text: str) -> str:
    result = spectra(
        "sweep", "--base", pico["mlm"], "--task", pico["labelled"], "--method", "full", "--method", "lora",
        "--rank", 1, "--rank", 2, "--lr", 0.1, *FAST, "--text", text, *ON_TEXT, "-o", "swept",
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert "3 runs, 0 failed" in result.stdout
    headings = " ".join(result.stdout.split("full")[0].split())
    assert all(word in headings for word in ("method", "rate", "accuracy", "intruders", "forgetting"))
    return "swept"


def test_sweep_from_a_file_and_from_options_share_their_runs(
    spectra: Spectra, pico: dict[str, Path], swept: str
) -> None:
    before = Study.read("swept/runs.parquet").table
    fields = {"base": str(pico["mlm"]), "task": str(pico["labelled"]), "learning_rate": 0.1, "max_steps": 3}
    fields |= {"max_length": 16, "variants": [{"method": "full"}, {"rank": [1, 2]}], "text": "general.txt"}
    Path("s.yaml").write_text(json.dumps(fields | {"num_sequences": 4, "length": 12}))
    result = spectra("sweep", "s.yaml", "-o", "swept", "-q")
    assert result.exit_code == 0
    assert Study.read("swept/runs.parquet").table["run"].tolist() == before["run"].tolist()
    assert Study.read("swept/runs.parquet").table["seconds"].tolist() == before["seconds"].tolist()  # not again


def test_an_option_that_the_variants_set_themselves_is_refused(spectra: Spectra, pico: dict[str, Path]) -> None:
    fields = {"base": str(pico["mlm"]), "task": str(pico["labelled"]), "variants": [{"method": "lora", "rank": [1]}]}
    Path("v.yaml").write_text(json.dumps(fields))
    result = spectra("sweep", "v.yaml", "--rank", 4, "--method", "full", "-o", "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the variants of v.yaml set method, rank themselves" in " ".join(result.stderr.split())


def test_sweep_of_existing_checkpoints(spectra: Spectra, pico: dict[str, Path], swept: str) -> None:
    runs = sorted(Path("swept/runs").iterdir())
    result = spectra("sweep", "--existing", pico["mlm"], *runs, "-e", 0.9, "-o", "compared")
    assert result.exit_code == 0
    assert "intruders 0.9" in " ".join(result.stdout.split())
    assert len(pd.read_parquet("compared/vectors.parquet")) > 0
    result = spectra("sweep", "--existing", pico["mlm"], *runs, "absent", "-o", "compared")
    assert result.exit_code == 2  # the others are reported
    assert "4 runs, 1 failed" in result.stdout


def test_sweep_shows_what_was_varied_and_why_one_failed(spectra: Spectra, pico: dict[str, Path]) -> None:
    fields = {"base": str(pico["mlm"]), "task": str(pico["labelled"]), "learning_rate": 0.1, "max_steps": 2}
    fields |= {"batch_size": [4, 8], "modules": ["all-linear", "no-such-module"], "max_length": 16, "rank": 1}
    Path("s.yaml").write_text(json.dumps(fields))
    result = spectra("sweep", "s.yaml", "-o", "s", "-q")
    assert result.exit_code == 1  # a pipeline has to see it
    assert "4 runs, 2 failed" in result.stdout
    headings = " ".join(result.stdout.split("lora")[0].split())
    assert "batch" in headings
    assert "modules" not in headings  # of those that are done it is one
    failed = [line for line in result.stdout.splitlines() if line.startswith("failed: lora-r1-")]
    assert len(failed) == 2
    assert all("matches none of the linear modules" in line for line in failed)
    assert Study.read("s/runs.parquet").table["batch_size"].tolist() == [4, 4, 8, 8]


def test_forgetting(spectra: Spectra, pico: dict[str, Path], swept: str, text: str) -> None:
    runs = sorted(Path("swept/runs").iterdir())
    result = spectra("forgetting", pico["mlm"], *runs, "--text", text, *ON_TEXT)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(run.name in result.stdout for run in runs)
    assert spectra("forgetting", pico["mlm"], runs[0], "--text", text, *ON_TEXT, "-o", "f.json").stdout == ""
    assert Study.read("f.json").table["rise"][0] == 0
    csv = spectra("forgetting", pico["mlm"], runs[0], "--text", text, *ON_TEXT, "--format", "csv").stdout
    assert csv.splitlines()[0].startswith("model,loss,standard_error,rise")


def test_intervene(spectra: Spectra, pico: dict[str, Path], swept: str, text: str) -> None:
    run = next(path for path in Path("swept/runs").iterdir() if "lora-r1" in path.name)
    result = spectra(
        "intervene", pico["mlm"], run, "--lambda", 0, "-e", 0.95, "--text", text, *ON_TEXT, "--format", "json"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    rows = json.loads(result.stdout)["rows"]
    assert {(row["target"], row["lambda"]) for row in rows} == {
        (what, factor) for what in ("intruder", "neighbour", "random", "shrunk") for factor in (0.0, 1.0)
    }


def test_continual(spectra: Spectra, pico: dict[str, Path]) -> None:
    lines = Path(pico["labelled"]).read_text().splitlines()
    for name, part in (("a", lines[:60]), ("b", lines[60:])):
        Path(f"{name}.jsonl").write_text("\n".join(part))
    config = {"base": str(pico["mlm"]), "tasks": ["a.jsonl", {"task": "b.jsonl", "max_steps": 2}], "max_steps": 3}
    Path("c.yaml").write_text(json.dumps(config | {"learning_rate": 0.1, "rank": 1, "max_length": 16}))
    result = spectra("continual", "c.yaml", "--folder", "stages")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "average accuracy" in result.stdout
    assert "untouched base" in result.stdout


def test_dynamics(spectra: Spectra, pico: dict[str, Path]) -> None:
    made = ("--base", pico["mlm"], "--task", pico["labelled"], "--lr", 0.1, *FAST, "--checkpoints", 3, "-o", "run")
    assert spectra("train", *made).exit_code == 0
    found = spectra("dynamics", "run", "-e", 0.9, "-o", "d.json")
    assert (found.exit_code, found.stderr) == (0, "")
    table = Study.read("d.json").table
    assert table["step"].tolist() == [1, 2, 3]
    assert table["num_intruders_0.9"].iloc[-1] > 0
    assert table["best_rank"].min() >= 1
    assert spectra("plot", "dynamics", "d.json", "-o", "d.svg").exit_code == 0


def test_report_of_a_comparison_and_studies(spectra: Spectra, swept: str) -> None:
    spectra("compare", "base.safetensors", "tuned.safetensors", "-o", "result.json")
    result = spectra("report", "result.json", "swept/runs.parquet", "-o", "report.html", "--title", "mine")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "report.html\n", "")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "<title>mine</title>" in page
    assert "<h2>Sweep</h2>" in page


@pytest.mark.parametrize("kind", ["sweep", "correlation"])
def test_plots_of_a_study(spectra: Spectra, swept: str, kind: str) -> None:
    assert spectra("plot", kind, "swept/runs.parquet", "-o", "x.svg").exit_code == 0
    assert Path("x.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("forgetting", "b", "t"), "name a --text"),
        (("forgetting", "./nowhere", "t", "--text", "x.txt"), "./nowhere: running a model needs"),
        (("sweep", "absent.yaml", "-o", "s"), "absent.yaml: no such file"),
        (("sweep", "--base", "b", "-o", "s"), "a recipe needs 'task'"),
        (("sweep", "--existing", "b", "-o", "s"), "--existing takes BASE"),
        (("sweep", "--existing", "b", "t", "--text", "x", "--lr", "1", "-o", "s"), "and not --lr, --text"),
        (("sweep", "--base", "b", "--task", "t", "-e", "nan", "-o", "s"), "nan is not in the range"),
        (("intervene", "b", "t", "-e", "nan"), "nan is not in the range"),
        (("compare", "b", "t", "-e", "nan"), "nan is not in the range"),
        (("train", "--base", "b", "--task", "t", "--seed", "-1", "-o", "r"), "-1 is not in the range"),
        (
            ("train", "--base", "b", "--task", "t", "--epochs", "inf", "-o", "r"),
            "epochs must be above zero and at most",
        ),
        (("train", "--base", "b", "--task", "t", "--max-length", "1", "-o", "r"), "max_length must be at least 2"),
        (("continual", "absent.yaml", "--folder", "f"), "absent.yaml: no such file"),
        (("intervene", "base.safetensors", "tuned.safetensors"), "name a --text, or a --task"),
        (("report", "base.safetensors", "-o", "r.html"), "base.safetensors: not a saved result"),
        (("dynamics", "absent"), "absent: not a finished run"),
        (("report", "x.json", "-o", "r.txt"), "a report is a .html file"),
        (("plot", "sweep", "absent.parquet", "-o", "x.svg"), "absent.parquet: no such file"),
    ],
)
def test_bad_input(spectra: Spectra, args: tuple[object, ...], message: str) -> None:
    result = spectra(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
