from __future__ import annotations

import pytest
import torch

from spectra.weights.fused import fused_rows
from spectra.weights.layout import take_rows


def _parts(name: str, matrix: torch.Tensor, **config: object) -> dict[str, torch.Tensor]:
    return {part: take_rows(matrix, rows) for part, rows in fused_rows(name, len(matrix), config).items()}


def test_blocks_after_each_other() -> None:
    W = torch.arange(12.0).reshape(12, 1)
    parts = _parts("h.0.attn.c_attn.weight", W, model_type="gpt2", n_head=2)
    assert {p: m.flatten().tolist() for p, m in parts.items()} == {
        "q": [0, 1, 2, 3],
        "k": [4, 5, 6, 7],
        "v": [8, 9, 10, 11],
    }


def test_head_by_head() -> None:
    W = torch.arange(12.0).reshape(12, 1)  # 2 heads × (q, k, v) × 2
    parts = _parts("layers.0.attention.query_key_value.weight", W, model_type="gpt_neox", num_attention_heads=2)
    assert {p: m.flatten().tolist() for p, m in parts.items()} == {
        "q": [0, 1, 6, 7],
        "k": [2, 3, 8, 9],
        "v": [4, 5, 10, 11],
    }


def test_grouped_queries() -> None:
    W = torch.zeros(8 * 4 + 2 * 2 * 4, 3)
    parts = _parts(
        "layers.0.self_attn.qkv_proj.weight", W, model_type="phi3", num_attention_heads=8, num_key_value_heads=2
    )
    assert {p: len(m) for p, m in parts.items()} == {"q": 32, "k": 8, "v": 8}


@pytest.mark.parametrize(
    "options", [{"new_decoder_architecture": True, "num_kv_heads": 2}, {"multi_query": True}, {"multi_query": False}]
)
def test_falcon_has_three_layouts_and_loses_no_row(options: dict[str, object]) -> None:
    groups = (
        {True: 4 + 2 * 2, False: 12}.get("num_kv_heads" in options, 12) if options != {"multi_query": True} else 4 + 2
    )
    W = torch.arange(groups * 2.0).reshape(-1, 1)
    parts = _parts(
        "h.0.self_attention.query_key_value.weight", W, model_type="falcon", num_attention_heads=4, **options
    )
    assert sorted(torch.cat(list(parts.values())).flatten().tolist()) == W.flatten().tolist()
    assert len(parts["q"]) == 8


def test_transformers_agrees_on_neox() -> None:
    # The model's own forward splits the fused output; so do the rows.
    import transformers as t

    config = t.GPTNeoXConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    layer = t.GPTNeoXModel(config).layers[0].attention.query_key_value
    x = torch.randn(1, 5, 8)
    fused = torch.nn.functional.linear(x, layer.weight).view(1, 5, 2, -1).transpose(1, 2)  # as in GPTNeoXAttention
    q, _, _ = fused.chunk(3, dim=-1)
    rows = _parts("layers.0.attention.query_key_value.weight", layer.weight, **config.to_dict())["q"]
    torch.testing.assert_close(q.transpose(1, 2).reshape(1, 5, -1), x @ rows.T)


@pytest.mark.parametrize(
    ("name", "rows", "config"),
    [
        ("h.0.attn.c_attn.weight", 12, {}),  # no config, no cut
        ("h.0.attn.c_attn.weight", 12, {"model_type": "unheard_of"}),
        ("h.0.attn.c_attn.weight", 13, {"model_type": "gpt2"}),  # sizes that do not fit
        ("h.0.crossattention.c_attn.weight", 12, {"model_type": "gpt2"}),  # key and value only
        ("h.0.mlp.c_fc.weight", 12, {"model_type": "gpt2"}),
    ],
)
def test_what_is_not_known_to_be_fused_stays_whole(name: str, rows: int, config: dict[str, object]) -> None:
    assert fused_rows(name, rows, config) == {}
