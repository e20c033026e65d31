from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_a_wheel_adds_one_name_and_a_working_command(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet"]
    # From a copy of what git tracks, so that no leftover of a build can be in the wheel.
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (REPOSITORY / name).is_file():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes((REPOSITORY / name).read_bytes())
    wheel_of = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    subprocess.run([*wheel_of, tmp_path / "source"], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("spectra_weights-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"spectra"}
    assert {
        "spectra/cli/main.py",
        "spectra/py.typed",
        "spectra/linalg/svd.py",
        "spectra/reporting/page.css",
        "spectra/reporting/page.js",
    } <= set(names)
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True, capture_output=True)
    out = subprocess.run(
        [sys.executable, site / "bin" / "spectra", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert out.stdout.startswith("spectra, version ")
    where = subprocess.run(
        [sys.executable, "-c", "import spectra.cli.compare as c; print(c.__file__)"], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(site)
