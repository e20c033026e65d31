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


@pytest.mark.parametrize(
    ("kind", "name", "buffer"),
    [
        ("bert", "embeddings.position_ids", torch.arange(16)[None]),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 4, 4).tril()),
    ],
)
def test_buffers_of_old_files_need_no_place(kind: str, name: str, buffer: torch.Tensor) -> None:
    tuned = pico_model(kind, seed=1)
    model = pico_model(kind, seed=0)
    assert graft(model, open_checkpoint({**tuned.state_dict(), name: buffer})) == []
    assert _same(model, tuned)


def test_a_buffer_that_the_model_makes_itself_needs_no_place() -> None:
    name = "model.layers.0.self_attn.mask"
    tuned = {**pico_model("llama", seed=1).state_dict(), name: torch.ones(4, 4)}
    model = pico_model("llama", seed=0)
    with pytest.raises(CheckpointError, match="mask has no place"):
        graft(model, open_checkpoint(tuned))
    model.model.layers[0].self_attn.register_buffer("mask", torch.zeros(8, 8), persistent=False)
    assert graft(model, open_checkpoint(tuned)) == []
    assert _same(model, pico_model("llama", seed=1))


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


def test_a_part_of_the_body_without_a_place_or_of_another_size_is_refused() -> None:
    state = dict(pico_model("llama", seed=1).state_dict())
    more = {**state, "model.layers.2.mlp.up_proj.weight": torch.ones(32, 16)}
    less = {name: tensor for name, tensor in state.items() if "layers.1.mlp.up_proj" not in name}
    key = "model.layers.0.self_attn.k_proj.weight"
    other = {**state, key: torch.cat([state[key], state[key]])}
    for tensors, message in (
        (more, r"layers\.2.* has no place"),
        (less, r"has no .*layers\.1\.mlp"),
        (other, "k_proj"),
    ):
        with pytest.raises(CheckpointError, match=message):
            graft(pico_model("llama"), open_checkpoint(tensors))


def test_a_head_of_another_number_of_classes_is_left_out_whole() -> None:
    model = pico_model("bert", classes=2)
    state = dict(pico_model("bert", seed=1, classes=2).state_dict())
    state["classifier.weight"], state["classifier.bias"] = torch.ones(3, 16), torch.ones(3)
    assert graft(model, open_checkpoint(state)) == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_one_of_two_tied_tensors_cannot_change_alone(target: str, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own, about the same thing
        adapted = get_peft_model(pico_model("llama"), LoraConfig(r=2, target_modules=["up_proj", target]))
        randomise_adapter(adapted)
        adapted.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError):
        graft(pico_model("llama"), open_checkpoint(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    state = pico_model("llama", seed=1).state_dict()
    state["model.layers.0.mlp.up_proj.weight"] = state["model.layers.0.mlp.up_proj.weight"].clone()
    graft(pico_model("llama"), open_checkpoint(state))  # the negative control
    state["model.layers.0.mlp.up_proj.weight"][3, 2] = value
    with pytest.raises(CheckpointError, match=r"layers\.0\.mlp\.up_proj\.weight would hold NaN or Inf in the model"):
        graft(pico_model("llama"), open_checkpoint(state))


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_an_adapter_that_is_not_finite_is_refused(factor: str) -> None:
    adapted = get_peft_model(pico_model("llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    randomise_adapter(adapted)
    with torch.no_grad():
        next(p for name, p in adapted.named_parameters() if factor in name)[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"q_proj\.weight would hold NaN or Inf in the model"):
        graft(pico_model("llama"), open_checkpoint(adapted))


def test_a_base_that_is_not_finite_is_the_one_that_is_named() -> None:
    adapted = get_peft_model(pico_model("llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    randomise_adapter(adapted)
    base = pico_model("llama")
    with torch.no_grad():
        base.model.layers[0].self_attn.q_proj.weight[0, 0] = torch.nan
    with pytest.raises(
        CheckpointError, match=r"layers\.0\.self_attn\.q_proj\.weight holds NaN or Inf before .* is added"
    ):
        graft(base, open_checkpoint(adapted))
