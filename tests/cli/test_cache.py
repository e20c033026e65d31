from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cli import main
from spectra.cache import cached_svd


def test_info_and_clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPECTRA_CACHE", str(tmp_path))
    cached_svd(torch.randn(400, 400, generator=torch.Generator().manual_seed(0)))
    told = CliRunner().invoke(main, ["cache", "info"])
    assert told.exit_code == 0
    assert told.output == f"{tmp_path / 'svd'}: 1 decomposition, 1.3 MB, of at most 10.0 GB\n"
    assert CliRunner().invoke(main, ["cache", "clear"]).output.endswith(": removed 1 decomposition, 1.3 MB\n")
    assert "0 decompositions" in CliRunner().invoke(main, ["cache", "info"]).output
