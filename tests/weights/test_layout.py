from __future__ import annotations

import re

import pytest
import torch

from spectra import CheckpointError
from spectra.weights.config import Config
from spectra.weights.layout import matrices
from spectra.weights.live import from_module
from spectra.weights.stored import Stored, in_memory
from tests.oracles import pico_model


def _stored(**tensors: torch.Tensor) -> dict[str, Stored]:
    return {name.replace("__", "."): in_memory(tensor, name) for name, tensor in tensors.items()}


def test_linear_layers_keep_name_and_orientation() -> None:
    W = torch.arange(6.0).reshape(3, 2)
    (matrix,), skipped = matrices(_stored(layers__0__q__weight=W, layers__0__q__bias=torch.ones(3)), {})
    assert (matrix.name, matrix.rows, matrix.cols) == ("layers.0.q", 3, 2)
    torch.testing.assert_close(matrix.read(), W)
    assert [(s.name, s.reason, s.problem) for s in skipped] == [("layers.0.q.bias", "not a matrix: 1-D", False)]


def test_everything_is_read_in_the_precision_asked_for() -> None:
    (matrix,), _ = matrices(_stored(q__weight=torch.ones(3, 2, dtype=torch.bfloat16)), {})
    assert matrix.read().dtype == torch.float32
    assert matrix.read(dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("with_config", [True, False])
def test_conv1d_is_transposed_with_and_without_a_config(with_config: bool) -> None:
    model = pico_model("gpt2")
    checkpoint = from_module(model)
    found, _ = matrices(checkpoint.tensors, checkpoint.config if with_config else {})
    by_name = {m.name: m for m in found}
    fc = by_name["transformer.h.0.mlp.c_fc"]
    assert (fc.rows, fc.cols) == (64, 16)
    torch.testing.assert_close(fc.read(), model.transformer.h[0].mlp.c_fc.weight.T)
    proj = by_name["transformer.h.0.attn.c_proj"]  # square: only the neighbours tell
    torch.testing.assert_close(proj.read(), model.transformer.h[0].attn.c_proj.weight.T)
    assert not by_name["transformer.wte"].transposed
    if with_config:
        q, k, v = (by_name[f"transformer.h.0.attn.c_attn[{part}]"] for part in "qkv")
        whole = torch.cat([q.read(), k.read(), v.read()])
        torch.testing.assert_close(whole, model.transformer.h[0].attn.c_attn.weight.T)
    else:
        assert by_name["transformer.h.0.attn.c_attn"].rows == 48


def test_starcoder_has_the_names_of_gpt2_but_not_its_layout() -> None:
    tensors = _stored(h__0__attn__c_attn__weight=torch.ones(20, 16), h__0__attn__c_attn__bias=torch.ones(20))
    (matrix,), _ = matrices(tensors, {})
    assert (matrix.rows, matrix.cols, matrix.transposed) == (20, 16, False)


@pytest.mark.parametrize(("model_type", "transposed"), [("mixtral", False), ("gpt_oss", True)])
def test_experts_are_one_matrix_each_and_read_alone(model_type: str, transposed: bool) -> None:
    stack = torch.randn(3, 8, 4)
    found, _ = matrices(_stored(layers__0__mlp__experts__gate_up_proj=stack), {"model_type": model_type})
    assert [m.name for m in found] == [f"layers.0.mlp.experts.gate_up_proj[{i}]" for i in range(3)]
    assert (found[1].rows, found[1].cols) == ((4, 8) if transposed else (8, 4))
    torch.testing.assert_close(found[1].read(), stack[1].T if transposed else stack[1])


# Sizes of which no two are equal, so that a shape says which way round a matrix is.
HIDDEN, INNER, HEADS = 4, 6, {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2}
MIXTURES = {
    "MixtralModel": {"num_local_experts": 3},
    "OlmoeModel": {"num_experts": 3},
    "GptOssModel": {"num_local_experts": 3},
    "Llama4TextModel": {"num_local_experts": 3, "intermediate_size_mlp": 8},
    "Qwen3MoeModel": {"num_experts": 3, "moe_intermediate_size": INNER},
    "Qwen3VLMoeTextModel": {
        "num_experts": 3,
        "moe_intermediate_size": INNER,
        "rope_scaling": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 0, 0]},
    },
    "AriaTextModel": {"moe_num_experts": 3},
    "GraniteMoeModel": {"num_local_experts": 3},
}


@pytest.mark.parametrize("kind", MIXTURES)
def test_the_experts_of_live_models_are_out_in(kind: str) -> None:
    import transformers as t

    model_class = getattr(t, kind)
    config = model_class.config_class(
        vocab_size=8, hidden_size=HIDDEN, intermediate_size=INNER, pad_token_id=0, **HEADS, **MIXTURES[kind]
    )
    checkpoint = from_module(model_class(config))
    found = [m for m in matrices(checkpoint.tensors, checkpoint.config)[0] if not re.search("attn|shared", m.name)]
    down = [m for m in found if re.search(r"down_proj|w2|output_linear|fc2", m.name)]
    up = [m for m in found if re.search(r"up_proj|w3|input_linear|fc1", m.name)]
    assert len(down) == len(up) == 3
    assert {(m.rows, m.cols) for m in down} == {(HIDDEN, INNER)}
    # Of most architectures transformers 4 holds gate and up apart, expert by expert; 5 stacks and fuses them.
    assert {(m.rows, m.cols) for m in up} <= {(INNER, HIDDEN), (2 * INNER, HIDDEN)}


@pytest.mark.parametrize("model_type", ["qwen3_moe", "qwen3_vl_moe", "gpt_oss", None])
@pytest.mark.parametrize("stored_in_out", [False, True])
def test_stacked_experts_tell_by_their_shapes_which_way_round_they_are(
    model_type: str | None, stored_in_out: bool
) -> None:
    gate_up, down = torch.randn(3, 2 * INNER, HIDDEN), torch.randn(3, HIDDEN, INNER)
    state = _stored(
        experts__gate_up_proj=gate_up.mT if stored_in_out else gate_up,
        experts__down_proj=down.mT if stored_in_out else down,
    )
    found, _ = matrices(state, {"model_type": model_type})
    for matrix, expected in zip(found, [*gate_up, *down], strict=True):
        torch.testing.assert_close(matrix.read(), expected)


def test_experts_by_other_names_are_experts() -> None:
    found, _ = matrices(_stored(layers__0__block_sparse_moe__input_linear__weight=torch.ones(3, 8, 4)), {})
    assert [(m.name, m.rows, m.cols) for m in found] == [
        (f"layers.0.block_sparse_moe.input_linear[{i}]", 8, 4) for i in range(3)
    ]
    found, _ = matrices(_stored(encoder__conv1__weight=torch.ones(3, 8, 4)), {})
    assert [(m.name, m.rows, m.cols) for m in found] == [("encoder.conv1", 3, 32)]


@pytest.mark.parametrize(
    "name", ["layers.0.mlp.experts.down_proj_bias", "mixer.A_log", "attn.relative_position_bias_table"]
)
def test_parameters_that_multiply_nothing_are_no_layers(name: str) -> None:
    found, skipped = matrices({name: in_memory(torch.ones(4, 8), name)}, {})
    assert not found
    assert (skipped[0].reason, skipped[0].problem) == ("not a layer's matrix: a bias or a table", False)


def test_convolutions_are_flattened() -> None:
    kernel = torch.randn(5, 3, 2, 2)
    (matrix,), _ = matrices(_stored(conv__weight=kernel), {})
    assert (matrix.rows, matrix.cols) == (5, 12)
    torch.testing.assert_close(matrix.read(), kernel.flatten(1))


def test_tied_weights_count_once() -> None:
    shared = torch.ones(4, 2)
    found, skipped = matrices(_stored(embed_tokens__weight=shared, lm_head__weight=shared), {})
    assert [m.name for m in found] == ["embed_tokens"]
    assert skipped[0].reason == "tied to embed_tokens, which is counted"
    # Saved twice, they share no memory; then the config tells.
    apart = _stored(embed_tokens__weight=shared, lm_head__weight=shared.clone())
    assert len(matrices(apart, {})[0]) == 2
    assert len(matrices(apart, {"tie_word_embeddings": True})[0]) == 1


@pytest.mark.parametrize(
    ("tensors", "reason", "problem"),
    [
        ({"q__weight": torch.zeros(0)}, "ZeRO-3 shard", True),
        ({"q__weight": torch.zeros(0, 4)}, "empty: shape", True),
        ({"q__weight": torch.zeros(4, 4, dtype=torch.int8)}, "stored as int8", True),
        ({"mlp.experts.gate_up_proj_blocks": torch.zeros(2, 4, 4, dtype=torch.uint8)}, "stored as uint8", True),
        ({"position_ids": torch.zeros(1, 4, dtype=torch.int64)}, "stored as int64", False),
        (
            {"q__weight": torch.zeros(4, 4, dtype=torch.float8_e4m3fn), "q__weight_scale": torch.ones(1)},
            "quantized",
            True,
        ),
        ({"mlp.experts": torch.zeros(5000, 1, 1)}, "would be 5000 experts", True),
        ({"norm__weight": torch.ones(4)}, "not a matrix: 1-D", False),
        ({"scale": torch.tensor(1.0)}, "not a matrix: 0-D", False),
    ],
)
def test_what_is_not_a_matrix_says_why(tensors: dict[str, torch.Tensor], reason: str, problem: bool) -> None:
    found, skipped = matrices(_stored(**tensors), {})
    assert not found
    assert reason in skipped[0].reason
    assert skipped[0].problem is problem


def test_more_matrices_than_any_model_has_are_not_listed() -> None:
    stack = torch.zeros(4096, 1, 1)
    tensors = {f"layers.{i}.experts": in_memory(stack.clone(), f"x.pt: layers.{i}.experts") for i in range(60)}
    with pytest.raises(
        CheckpointError, match=r"x\.pt: layers\.48\.experts: the experts up to here are 200704 matrices"
    ):
        matrices(tensors, {})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": ["gpt2"]}, "model_type is ['gpt2'], and has to be text"),
        ({"text_config": "gpt2"}, "text_config is 'gpt2', and has to be an object"),
        ({"text_config": {"model_type": 3}}, "text_config: model_type is 3, and has to be text"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', and has to be true or false"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_sentence(config: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        matrices(_stored(q__weight=torch.ones(3, 3)), Config(config, "dir/config.json"))
