from __future__ import annotations

from pathlib import Path

import pytest

from cli.plot import _KINDS
from spectra.plots import PLOTS, STUDY_PLOTS
from tests.cli.conftest import Spectra


@pytest.fixture
def saved(spectra: Spectra) -> str:
    spectra("compare", "base.safetensors", "tuned.safetensors", "-o", "r.json")
    return "r.json"


def test_the_help_names_every_kind(spectra: Spectra) -> None:
    assert set(_KINDS) == {*PLOTS, *STUDY_PLOTS, "correlation"}


@pytest.mark.parametrize("kind", PLOTS)
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_every_kind_from_a_saved_result(spectra: Spectra, saved: str, kind: str, suffix: str) -> None:
    result = spectra("plot", kind, saved, "-o", f"x.{suffix}")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    head = Path(f"x.{suffix}").read_bytes()[:8]
    assert head.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix])


def test_a_matrix_by_part_of_its_name_and_several_results(spectra: Spectra, saved: str) -> None:
    assert spectra("plot", "similarity", saved, "--matrix", "1.mlp", "-o", "a.svg").exit_code == 0
    assert "layers.1.mlp.up_proj" in Path("a.svg").read_text()
    assert spectra("plot", "epsilon", saved, saved, "-o", "b.svg").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("map", "absent.json", "-o", "x.svg"), "absent.json: no such file"),
        (("map", "r.json", "-o", "x.gif"), "saved as one of .svg, .png, .pdf"),
        (("map", "r.json", "r.json", "-o", "x.svg"), "draws one comparison, and 2 were given"),
        (("map", "r.json", "--matrix", "q", "-o", "x.svg"), "--matrix is for similarity and spectrum"),
        (("similarity", "r.json", "--matrix", "proj", "-o", "x.svg"), "4 matrices of this result match 'proj'"),
        (("heat", "r.json", "-o", "x.svg"), "'heat' is not one of"),
    ],
)
def test_bad_input(spectra: Spectra, saved: str, args: tuple[str, ...], message: str) -> None:
    result = spectra("plot", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(Path().glob("x.*"))
