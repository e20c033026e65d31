from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from tests.cli.conftest import Spectra


def test_a_table(spectra: Spectra) -> None:
    result = spectra("inspect", "base.safetensors")
    assert result.exit_code == 0
    assert "layers.1.mlp.up_proj" in result.stdout
    assert "6 matrices, 1,344 entries; 2 skipped: 2 not a matrix: 1-D (layers.0.norm, layers.1.norm)." in " ".join(
        result.stdout.split()
    )


@pytest.mark.parametrize("format_", ["json", "csv", "parquet", "markdown"])
def test_formats(spectra: Spectra, format_: str) -> None:
    content = spectra("inspect", "base.safetensors", "--format", format_).stdout_bytes
    if format_ == "json":
        document = json.loads(content)
        assert [m["kind"] for m in document["matrices"]] == [
            "embedding",
            "linear",
            "linear",
            "linear",
            "linear",
            "head",
        ] or len(document["matrices"]) == 6
        assert {s["name"] for s in document["skipped"]} == {"layers.0.norm", "layers.1.norm"}
    elif format_ == "markdown":
        assert content.decode().count("| linear |") == 4
    else:
        table = pd.read_csv(io.BytesIO(content)) if format_ == "csv" else pd.read_parquet(io.BytesIO(content))
        assert set(table["name"]) >= {"embed_tokens", "lm_head"}


def test_a_flat_format_says_on_stderr_what_it_leaves_out(spectra: Spectra) -> None:
    listing = ("inspect", "base.safetensors", "--format", "csv")
    assert spectra(*listing).stderr == "spectra: 2 skipped: 2 not a matrix: 1-D (layers.0.norm, layers.1.norm).\n"
    assert spectra(*listing, "--quiet").stderr == ""


def test_bad_input(spectra: Spectra) -> None:
    result = spectra("inspect", "absent.pt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "spectra: error: absent.pt: no such file or directory\n"
