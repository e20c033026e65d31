from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra import CheckpointError
from spectra.trainer.loading import load_tokenizer
from tests.oracles import pico_tokenizer


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_tokenizer_opens_by_the_name_that_either_transformers_gives_its_class(name: str, tmp_path: Path) -> None:
    pico_tokenizer(tmp_path, ["one", "two", "three"])
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": name, "backend": "tokenizers"})
    )
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer("three one four")["input_ids"] == [4, 2, 1]
    assert tokenizer.pad_token == "[PAD]"


def test_a_tokenizer_of_no_known_class_is_refused(tmp_path: Path) -> None:
    pico_tokenizer(tmp_path, ["one"])
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be"):
        load_tokenizer(tmp_path)
