from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from spectra import CheckpointError, PairingError, open_checkpoint
from spectra.weights import graft
from tests.oracles import pico_model, randomise_adapter

TARGETS = {"llama": ["q_proj", "up_proj"], "gpt2": ["c_attn", "c_fc"], "bert": ["query", "dense"]}


def _same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_a_checkpoint_goes_into_a_model_whole(kind: str, tmp_path: Path) -> None:
    tuned = pico_model(kind, seed=1)
    tuned.save_pretrained(tmp_path)
    model = pico_model(kind, seed=0)
    assert not _same(model, tuned)
    assert graft(model, open_checkpoint(tmp_path)) == []
    assert _same(model, tuned)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_does_what_peft_merges(kind: str, dora: bool, tmp_path: Path) -> None:
    config = LoraConfig(r=2, lora_alpha=8, target_modules=TARGETS[kind], fan_in_fan_out=kind == "gpt2", use_dora=dora)
    adapted = get_peft_model(pico_model(kind), config)
    randomise_adapter(adapted)
    adapted.save_pretrained(tmp_path)
    model = pico_model(kind)
    left = graft(model, open_checkpoint(tmp_path))
    assert left  # what the adapter does not touch
    for name, tensor in adapted.merge_and_unload().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_classifiers_body_goes_into_a_bare_model_and_its_head_nowhere() -> None:
    classifier = pico_model("bert", seed=1, classes=2)
    body = pico_model("bert", seed=0)
    assert graft(body, open_checkpoint(classifier)) == []
    assert _same(body, classifier.bert)


def test_what_the_tuned_one_does_not_have_is_said() -> None:
    classifier = pico_model("bert", seed=0, classes=2)
    left = graft(classifier, open_checkpoint(pico_model("bert", seed=1)))
    assert left == ["classifier.weight", "classifier.bias"]


def test_resized_vocabularies_share_their_rows() -> None:
    tuned = pico_model("llama", seed=1)
    tuned.resize_token_embeddings(70)
    model = pico_model("llama", seed=0)
    graft(model, open_checkpoint(tuned))
    theirs = tuned.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, theirs[:60])


def test_another_model_is_refused() -> None:
    with pytest.raises(PairingError):
        graft(pico_model("llama"), open_checkpoint(pico_model("bert")))
    wide = {name: torch.cat([t, t], dim=1) if t.ndim == 2 else t for name, t in pico_model("bert").state_dict().items()}
    with pytest.raises((CheckpointError, PairingError)):
        graft(pico_model("bert"), open_checkpoint(wide))
