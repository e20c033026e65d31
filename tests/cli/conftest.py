from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from cli import main
from tests.oracles import pico_state, tuned_state

Spectra = Callable[..., Result]


@pytest.fixture
def spectra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spectra:
    """Run a command in an empty folder that holds base.safetensors and tuned.safetensors."""
    monkeypatch.chdir(tmp_path)
    base = pico_state()
    save_file(base, "base.safetensors")
    save_file(tuned_state(base, scale=1.0), "tuned.safetensors")

    def run(*args: object) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
