from __future__ import annotations

import subprocess
import sys

import pytest

import spectra

HEAVY = ("transformers", "peft", "click", "matplotlib", "datasets", "rich", "accelerate")


def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(m for m in sys.modules if '.' not in m))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "module", ["spectra", "spectra.linalg", "spectra.weights", "spectra.comparing", "spectra.results"]
)
def test_the_lower_floors_load_nothing_from_above(module: str) -> None:
    assert not _loaded_after(f"import {module}") & set(HEAVY)


def test_import_spectra_loads_not_even_torch() -> None:
    assert "torch" not in _loaded_after("import spectra")
    # Negative control: the probe does see what is loaded.
    assert "torch" in _loaded_after("import spectra.linalg")


def test_linalg_imports_nothing_of_ours() -> None:
    code = "import spectra.linalg, sys; print(sorted(m for m in sys.modules if m.startswith('spectra.') and 'linalg' not in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['spectra._version']"


@pytest.mark.parametrize("name", spectra.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(spectra, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spectra.nothing
    assert set(spectra.__all__) == set(dir(spectra))
