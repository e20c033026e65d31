from __future__ import annotations

import subprocess
import sys

import pytest

from cli.main import COMMANDS
from tests.cli.conftest import Spectra


def test_help_lists_every_command(spectra: Spectra) -> None:
    result = spectra("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in result.stdout
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_in_a_narrow_terminal(
    spectra: Spectra, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    result = spectra(command, "-h")
    assert result.exit_code == 0
    assert f"spectra {command}" in result.stdout  # an example


def test_unknown_commands_are_usage_errors(spectra: Spectra) -> None:
    result = spectra("comparre")
    assert result.exit_code == 2
    assert "comparre" in result.stderr


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from cli import main; main(['--help'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=sys.path[0] or ".")


def test_a_bug_is_not_a_failed_gate(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    import spectra as library

    monkeypatch.setattr(library, "compare", lambda *args, **kwargs: 1 / 0)
    result = spectra("compare", "base.safetensors", "tuned.safetensors")
    assert result.exit_code == 3
    assert "ZeroDivisionError" in result.stderr


def test_an_interrupt_is_not_a_failed_gate(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    import spectra as library

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "compare", interrupted)
    result = spectra("compare", "base.safetensors", "tuned.safetensors")
    assert result.exit_code == 130
    assert result.stderr == "spectra: interrupted\n"
