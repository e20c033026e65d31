from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra.origins import says_it_was_tuned_from
from tests.cli.conftest import Spectra, spectra

__all__ = ["spectra"]

FILES = {
    "adapter_config.json": json.dumps({"base_model_name_or_path": "org/base"}),
    "config.json": json.dumps({"_name_or_path": "/somewhere/base"}),
    "recipe.yaml": "base: ./base\ntask: t.csv\n",
    "README.md": "---\nlicense: mit\nbase_model:\n- org/base\n---\n# A model\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_of_a_checkpoint_name_its_base(tmp_path: Path, name: str) -> None:
    tuned, base = tmp_path / "tuned", tmp_path / "base"
    tuned.mkdir()
    base.mkdir()
    assert not says_it_was_tuned_from(str(tuned), str(base))
    (tuned / name).write_text(FILES[name])
    assert says_it_was_tuned_from(str(tuned), str(base))
    assert not says_it_was_tuned_from(str(base), str(tuned))
    assert not says_it_was_tuned_from(str(tuned), str(tmp_path / "other"))
    for broken in ("{", "[1]", '{"base": 3, "_name_or_path": null, "base_model_name_or_path": []}', "\0"):
        (tuned / name).write_text(broken)
        assert not says_it_was_tuned_from(str(tuned), str(base))


def test_base_and_tuned_swapped_is_a_hint(spectra: Spectra, tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.safetensors").rename(tmp_path / name / "model.safetensors")
    (tmp_path / "tuned" / "config.json").write_text(json.dumps({"_name_or_path": "org/base"}))
    swapped = spectra("compare", "tuned", "base")
    assert swapped.exit_code == 0
    assert swapped.stderr == "spectra: hint: tuned says that it was tuned from base; are BASE and TUNED swapped?\n"
    assert spectra("compare", "base", "tuned").stderr == ""
