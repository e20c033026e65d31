from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from cli.tables import matrices_text, plain_text, skipped_text, study_text
from spectra import Study
from spectra.escaping import printable
from tests.cli.conftest import Spectra
from tests.test_escaping import NAMES, is_harmless

# Half a character is in no name that was read; pandas cannot hold it.
of_each = pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "half a character"])


def _all_harmless(text: str) -> bool:
    return all(map(is_harmless, text.split("\n")))


@of_each
def test_tables_of_any_names_are_harmless(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that nothing folds but the longest
    name = NAMES[kind]
    rows = [{"name": name, "module": name, "rows": 2, "cols": 3}]
    skipped = pd.DataFrame(
        {"name": pd.Series([name], dtype=object), "reason": pd.Series([name], dtype=object), "problem": [False]}
    )
    plain = {"name": "a", "module": "a", "rows": 2, "cols": 3}
    shown = matrices_text(name, name, rows, skipped, to_file=True)
    assert _all_harmless(shown)
    usual = matrices_text(
        "a", "a", [plain], pd.DataFrame({"name": ["a"], "reason": ["a"], "problem": [False]}), to_file=True
    )
    if len(printable(name)) < 40:  # longer ones fold
        assert shown.count("\n") == usual.count("\n")
    assert _all_harmless(plain_text(pd.DataFrame({"x": pd.Series([name], dtype=object)}), to_file=True))
    table = pd.DataFrame({"run": [name], "status": ["failed"], "reason": [name], "method": [None]}, dtype=object)
    assert _all_harmless(study_text(Study("sweep", table, {}), to_file=True))


def test_markup_in_names_is_shown() -> None:
    assert "[bold]a[/]" in plain_text(pd.DataFrame({"x": ["[bold]a[/]"]}))
    assert "[/]" in skipped_text(pd.DataFrame({"name": ["[/]"], "reason": ["why"], "problem": [False]}))


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind not in ("half a character", "NUL and DEL", "empty")])
@pytest.mark.parametrize("format_", ["table", "csv", "markdown", "json"])
def test_a_checkpoint_with_any_names_forges_nothing(spectra: Spectra, kind: str, format_: str) -> None:
    base = {f"layers.0.{NAMES[kind]}.weight": torch.randn(6, 6), f"layers.0.{NAMES[kind]}.norm": torch.randn(6)}
    save_file(base, "base.safetensors")
    save_file({name: tensor + 1 for name, tensor in base.items()}, "tuned.safetensors")
    for command in (("compare", "base.safetensors", "tuned.safetensors"), ("inspect", "base.safetensors")):
        result = spectra(*command, "--format", format_)
        assert result.exit_code == 0
        assert _all_harmless(result.stdout)
        assert _all_harmless(result.stderr)
        if format_ == "csv":
            assert len(result.stdout.splitlines()) == (3 if command[0] == "compare" else 2)
            assert not any(re.match(r"""(^|.*,)"?[=+@\t]""", line) for line in result.stdout.splitlines())
        if format_ == "json":
            assert json.loads(result.stdout)["matrices"][0]["name"] == f"layers.0.{NAMES[kind]}"


def test_very_long_names_keep_a_table_and_a_message_readable(spectra: Spectra, tmp_path: Path) -> None:
    name = "layers.0." + "x" * 100_000
    save_file({name: torch.randn(6, 6)}, "base.safetensors")
    save_file({name: torch.full((6, 6), torch.nan)}, "tuned.safetensors")
    result = spectra("compare", "base.safetensors", "tuned.safetensors")
    assert result.exit_code == 2
    assert len(result.stderr) < 5000
    assert len(spectra("inspect", "base.safetensors").stdout) < 10_000
