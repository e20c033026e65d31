"""Every adapter is held against what PEFT itself merges."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from spectra import CheckpointError, PairingError, compare, open_checkpoint
from spectra.linalg import LowRank
from spectra.weights import Adapter, pair
from spectra.weights.adapter import adapter_from
from spectra.weights.stored import in_memory
from tests.oracles import pico_model, randomise_adapter

ATTENTION = ["q_proj", "v_proj"]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {"target_modules": ATTENTION}),
    "all linear": ("llama", {"target_modules": "all-linear", "lora_alpha": 5}),
    "rank-stabilised": ("llama", {"target_modules": ATTENTION, "use_rslora": True}),
    "DoRA": ("llama", {"target_modules": ATTENTION, "use_dora": True}),
    "rank pattern": (
        "llama",
        {"target_modules": ATTENTION, "rank_pattern": {"layers.0.self_attn.q_proj": 2, "v_proj": 6}},
    ),
    "alpha pattern": (
        "llama",
        {"target_modules": ATTENTION, "alpha_pattern": {"layers.1.self_attn.q_proj": 32, "v_proj": 1}},
    ),
    "both patterns, rank-stabilised": (
        "llama",
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"q_proj": 9},
            "use_rslora": True,
        },
    ),
    "LoRA bias": ("gpt2", {"target_modules": ["c_fc"], "lora_bias": True, "fan_in_fan_out": True}),
    "trained biases": ("gpt2", {"target_modules": ["c_fc"], "bias": "all", "fan_in_fan_out": True}),
    "Conv1D": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "Conv1D and DoRA": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "use_dora": True}),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "embedding and DoRA": ("llama", {"target_modules": ["embed_tokens"], "use_dora": True}),
    "saved modules": ("llama", {"target_modules": ATTENTION, "modules_to_save": ["lm_head", "o_proj"]}),
}


def _tuned(kind: str, options: dict[str, Any]) -> tuple[torch.nn.Module, Any]:
    base = pico_model(kind, tie=False)
    model = get_peft_model(copy.deepcopy(base), LoraConfig(**{"r": 4, "lora_alpha": 8, **options}))
    randomise_adapter(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(0.5)
    return base, model


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.filterwarnings("ignore:Could not find a config file")
@pytest.mark.filterwarnings("ignore:Adapter 'default'. 2 LoRA tensor.s. have invalid shape")  # of LoRA biases
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("where", ["directory", "live"])
def test_gives_the_weights_that_peft_merges(case: str, where: str, tmp_path: Path) -> None:
    base, model = _tuned(*CASES[case])
    if where == "directory":
        model.save_pretrained(tmp_path)
        adapter = open_checkpoint(tmp_path)
    else:
        adapter = open_checkpoint(model)
    assert isinstance(adapter, Adapter)
    everything = [".*"]
    found = {p.name: p for p in pair(open_checkpoint(base), adapter, include=everything).pairs}
    merged = pair(open_checkpoint(base), open_checkpoint(model.merge_and_unload()), include=everything)
    changed = 0
    for expected in merged.pairs:
        W0 = expected.read_base(dtype=torch.float32, device="cpu")
        W = expected.read_tuned(W0)
        if torch.equal(W, W0):
            assert expected.name not in found
            continue
        changed += 1
        torch.testing.assert_close(found[expected.name].read_whole(W0), W, atol=2e-6, rtol=1e-5)
    assert changed == len(found) > 0
    read = [p.read_tuned(p.read_base(dtype=torch.float32, device="cpu")) for p in found.values()]
    assert all(isinstance(one, LowRank) for one in read) == ("DoRA" not in case and case != "saved modules")


def test_factors_of_a_fused_projection_are_cut_with_it() -> None:
    base, model = _tuned(*CASES["Conv1D"])
    names = [p.name for p in pair(open_checkpoint(base), open_checkpoint(model)).pairs if "c_attn" in p.name]
    assert names == [f"transformer.h.{i}.attn.c_attn[{part}]" for i in range(2) for part in "qkv"]


def test_convolutions(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 6, 2)

    base = Net()
    model = get_peft_model(copy.deepcopy(base), LoraConfig(r=2, lora_alpha=4, target_modules=["conv"]))
    randomise_adapter(model)
    (found,) = pair(open_checkpoint(base), open_checkpoint(model)).pairs
    W0 = found.read_base(dtype=torch.float32, device="cpu")
    factors = found.read_tuned(W0)
    assert isinstance(factors, LowRank)
    torch.testing.assert_close(W0 + factors.dense(), model.merge_and_unload().conv.weight.flatten(1))
    assert factors.B.shape == (6, 2)


def test_a_merged_live_model_is_compared_as_it_stands() -> None:
    base, model = _tuned(*CASES["plain"])
    model.merge_adapter()
    found = {p.name: p for p in pair(open_checkpoint(base), open_checkpoint(model)).pairs}
    W = found["model.layers.0.self_attn.q_proj"].read_tuned(torch.zeros(1))
    assert isinstance(W, torch.Tensor)
    model.unmerge_adapter()
    torch.testing.assert_close(W, model.merge_and_unload().model.layers[0].self_attn.q_proj.weight)


def test_the_base_of_a_live_peft_model_can_be_the_base() -> None:
    inner = pico_model("llama")
    clean = copy.deepcopy(inner)
    model = get_peft_model(inner, LoraConfig(r=2, target_modules=ATTENTION))
    randomise_adapter(model)
    # `inner` now holds LoRA layers; its own weights are still the base's.
    pairs = pair(open_checkpoint(inner), open_checkpoint(model)).pairs
    assert len(pairs) == 4
    torch.testing.assert_close(
        pairs[0].read_base(dtype=torch.float32, device="cpu"), clean.model.layers[0].self_attn.q_proj.weight
    )


def test_a_lora_beside_its_base_weights_is_not_taken_for_nothing(tmp_path: Path) -> None:
    base, model = _tuned(*CASES["plain"])
    torch.save(model.state_dict(), tmp_path / "x.pt")
    for tuned in (model.state_dict(), tmp_path / "x.pt", model.get_base_model()):
        with pytest.raises(PairingError, match="holds a LoRA that is not merged into its weights"):
            pair(open_checkpoint(base), open_checkpoint(tuned))


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora_alpha": None}, "lora_alpha is None, and has to be a number from -1e"),
        ({"lora_alpha": "16"}, "lora_alpha is '16', and has to be a number"),
        ({"lora_alpha": True}, "lora_alpha is True, and has to be a number"),
        ({"lora_alpha": [16]}, "and has to be a number"),
        ({"lora_alpha": NAN}, "and has to be a number|not valid JSON"),
        ({"lora_alpha": INFINITE}, "and has to be a number|not valid JSON"),
        ({"lora_alpha": 1e308}, "lora_alpha is 1e.308, and has to be a number"),
        ({"lora_alpha": 10**400}, "holds an integer of more than 64 bits"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes', and has to be true or false"),
        ({"peft_type": 3}, "peft_type is 3, and has to be text"),
        ({"alpha_pattern": [1]}, r"alpha_pattern is \[1\], and has to be an object"),
        ({"alpha_pattern": "q_proj"}, "alpha_pattern is 'q_proj', and has to be an object"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern: q_proj is None, and has to be a number"),
        ({"alpha_pattern": {"q_proj": "4"}}, "alpha_pattern: q_proj is '4', and has to be a number"),
        ({"alpha_pattern": {"[": 3}}, r"alpha_pattern: '\[' is no regular expression"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = _saved(tmp_path) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named_adapters_are_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    _saved(tmp_path / "mine")
    with pytest.raises(CheckpointError, match="the adapters are in its folders; pass one of mine"):
        open_checkpoint(tmp_path)


def test_an_adapter_that_transformers_added_itself() -> None:
    base = pico_model("llama")
    model = copy.deepcopy(base)
    try:
        model.add_adapter(LoraConfig(r=2, target_modules=ATTENTION))
    except ValueError as refusal:  # the two that constraints.txt pins agree; others do not always
        if "version of PEFT" not in str(refusal):
            raise
        pytest.skip(f"transformers refuses this peft: {refusal}")
    randomise_adapter(model)
    assert len(pair(open_checkpoint(base), open_checkpoint(model)).pairs) == 4


def test_two_active_adapters_are_not_guessed_between() -> None:
    model = get_peft_model(pico_model("llama"), LoraConfig(r=2, target_modules=ATTENTION))
    model.add_adapter("second", LoraConfig(r=2, target_modules=ATTENTION))
    model.base_model.set_adapter(["default", "second"])
    with pytest.raises(CheckpointError, match="2 adapters are active"):
        open_checkpoint(model)


def _saved(tmp_path: Path) -> Path:
    _, model = _tuned(*CASES["plain"])
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "a IA3 adapter; only LoRA is read so far"),
        ({"init_lora_weights": "pissa_niter_4"}, "initialised with 'pissa_niter_4', which also changed the base"),
        ({"use_qalora": True}, r"a LoRA variant \(use_qalora\)"),
    ],
)
def test_adapters_that_mean_something_else_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = _saved(tmp_path) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


PREFIX = "base_model.model."
SOUND = {
    "q.lora_A.weight": torch.ones(2, 4),
    "q.lora_B.weight": torch.ones(6, 2),
    "q.lora_magnitude_vector": torch.ones(6),
    "conv.lora_A.weight": torch.ones(2, 3, 2, 2),
    "conv.lora_B.weight": torch.ones(5, 2, 1, 1),
    "conv.lora_magnitude_vector": torch.ones(1, 5, 1, 1),
    "embed.lora_embedding_A": torch.ones(2, 9),
    "embed.lora_embedding_B": torch.ones(4, 2),
    "embed.lora_magnitude_vector": torch.ones(4),
}
CONFIG = {"peft_type": "LORA", "lora_alpha": 4}


def _adapter(changes: dict[str, torch.Tensor | None], config: dict[str, Any] | None = None) -> Adapter:
    tensors = {name: tensor for name, tensor in (SOUND | changes).items() if tensor is not None}
    stored = {f"{PREFIX}{name}": in_memory(tensor, f"x: {name}") for name, tensor in tensors.items()}
    return adapter_from("x", stored, CONFIG | (config or {}))


def test_sound_factors_are_taken() -> None:
    # The negative control of the table below.
    assert {module: update.shape for module, update in _adapter({}).updates.items()} == {
        "q": (6, 4),
        "conv": (5, 12),
        "embed": (9, 4),
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": 3}, "has factors of rank 2, where its config says 3; save the adapter again"),
        ({"r": 2, "rank_pattern": {"q": 4}}, "'q' has factors of rank 2, where its config says 4"),
        ({"r": 0}, "r is 0, and has to be a whole number from 1"),
        ({"r": -4}, "r is -4, and has to be a whole number from 1"),
        ({"r": "x"}, "r is 'x', and has to be a whole number from 1"),
        ({"rank_pattern": "x"}, "rank_pattern is 'x', and has to be an object"),
        ({"rank_pattern": {"q": "x"}}, "q is 'x', and has to be a whole number from 1"),
    ],
)
def test_a_config_that_its_factors_do_not_fit_is_one_sentence(config: dict[str, Any], message: str) -> None:
    for sound in ({}, {"r": 2}, {"r": None}, {"r": 5, "rank_pattern": {"q": 2, "conv": 2, "embed": 2}}):
        assert _adapter({}, sound).updates["q"].rank == 2  # the negative control
    with pytest.raises(CheckpointError, match=re.escape(message)):
        _adapter({}, config)


def test_dora_without_its_magnitudes_is_no_lora() -> None:
    assert _adapter({}, {"use_dora": True}).updates["q"].magnitude is not None
    with pytest.raises(CheckpointError, match="'q' has no DoRA magnitudes, which its config says there are"):
        _adapter({"q.lora_magnitude_vector": None}, {"use_dora": True})


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("q.lora_A.weight", None, "'q' has no lora_A; the adapter is incomplete; save the adapter again"),
        ("q.lora_B.weight", None, "'q' has no lora_B; the adapter is incomplete"),
        ("embed.lora_embedding_B", None, "'embed' has no lora_embedding_B"),
        ("embed.lora_A.weight", torch.ones(2, 4), "'embed' has the factors of an embedding and of a linear layer"),
        ("q.lora_A.weight", torch.ones(3, 4), r"factors of shape \[6, 2\] and \[3, 4\], which do not multiply"),
        ("q.lora_B.weight", torch.ones(6, 2, 3), r"factors of shape \[6, 2, 3\] and \[2, 4\], which do not multiply"),
        ("conv.lora_B.weight", torch.ones(5, 2, 2, 2), "which do not multiply"),
        ("conv.lora_B.weight", torch.ones(5, 3, 1, 1), "which do not multiply"),
        ("conv.lora_A.weight", torch.ones(4, 3, 2, 2), "which do not multiply"),
        ("embed.lora_embedding_A", torch.ones(3, 9), "which do not multiply"),
        ("q.lora_A.weight", torch.ones(0), "lora_A has shape \\[0\\], a ZeRO-3 or FSDP shard"),
        ("q.lora_A.weight", torch.ones(8), "lora_A has shape \\[8\\], a ZeRO-3 or FSDP shard"),
        ("q.lora_A.weight", torch.ones(0, 4), "a ZeRO-3 or FSDP shard"),
        ("q.lora_magnitude_vector", torch.ones(0), "lora_magnitude_vector has shape \\[0\\], a ZeRO-3 or FSDP shard"),
        ("q.lora_magnitude_vector", torch.ones(4), r"DoRA magnitudes of shape \[4\] for a matrix of \[6, 4\]"),
        ("q.lora_magnitude_vector", torch.ones(1), r"DoRA magnitudes of shape \[1\]"),
        ("q.lora_magnitude_vector", torch.ones(6, 4), r"DoRA magnitudes of shape \[6, 4\]"),
        ("conv.lora_magnitude_vector", torch.ones(1, 3, 1, 1), r"DoRA magnitudes of shape \[1, 3, 1, 1\]"),
        ("embed.lora_magnitude_vector", torch.ones(9), r"DoRA magnitudes of shape \[9\] for a matrix of \[9, 4\]"),
        ("q.lora_A.weight", torch.ones(2, 4, dtype=torch.int8), "lora_A is stored as int8"),
        ("q.lora_A.weight", torch.ones(2, 4, dtype=torch.complex64), "lora_A is stored as complex64"),
        ("q.lora_A.weight", torch.ones(2, 4, dtype=torch.bool), "lora_A is stored as bool"),
        ("q.lora_A.weight", torch.ones(2, 4).to_sparse(), "lora_A is a sparse tensor; save it dense"),
        ("q.lora_A.weight", torch.ones(2, 4, device="meta"), "lora_A is without data of its own"),
    ],
)
def test_factors_that_are_none_are_one_sentence(name: str, tensor: torch.Tensor | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        _adapter({name: tensor})
    assert "\n" not in str(caught.value)


def test_a_module_of_any_name_is_on_one_line() -> None:
    with pytest.raises(CheckpointError, match=r"'a\\nb' has no lora_B") as caught:
        _adapter({"a\nb.lora_A.weight": torch.ones(2, 2)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", SOUND)
def test_factors_that_are_not_finite_are_an_entry(name: str, value: float) -> None:
    broken = SOUND[name].clone().double().flatten()
    broken[-1] = value
    base = {f"{m}.weight": torch.randn(s) for m, s in (("q", (6, 4)), ("conv", (5, 3, 2, 2)), ("embed", (9, 4)))}
    result = compare(base, _adapter({name: broken.reshape(SOUND[name].shape)}), k=1, include="")
    skipped = result.skipped.set_index("name")
    module = name.split(".")[0]
    assert set(result.matrices["name"]) == {"q", "conv", "embed"} - {module}
    assert "NaN or Inf values" in skipped.loc[module, "reason"]
    assert bool(skipped.loc[module, "problem"])


def test_damaged_factors_are_named(tmp_path: Path) -> None:
    path = _saved(tmp_path) / "adapter_model.safetensors"
    tensors = load_file(path)
    key = next(name for name in tensors if "lora_A" in name)
    for broken, message in [
        ({k: v for k, v in tensors.items() if k != key}, "has no lora_A; the adapter is incomplete"),
        (tensors | {key: torch.zeros(0)}, "ZeRO-3 or FSDP shard"),
        (tensors | {key: torch.zeros(3, 16)}, "which do not multiply"),
        ({"something.lora_B.bias": torch.zeros(3)}, "holds no LoRA factors"),
    ]:
        save_file(broken, path)
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(tmp_path)
