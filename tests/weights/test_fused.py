from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from spectra import CheckpointError
from spectra.weights.config import Config
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


NAN, INFINITE = float("nan"), float("inf")
NO_COUNTS = [-1, 0, 1.5, NAN, INFINITE, -INFINITE, "2", True, [2], {"a": 2}, 1 << 30, 1 << 70]


@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Wqkv", lambda value: {"model_type": "dbrx", "n_heads": 4, "attn_config": {"kv_n_heads": value}}),
        ("Wqkv", lambda value: {"model_type": "dbrx", "n_heads": value, "attn_config": {"kv_n_heads": 2}}),
        ("qkv_proj", lambda value: {"model_type": "phi3", "num_attention_heads": 4, "num_key_value_heads": value}),
        ("query_key_value", lambda value: {"model_type": "gpt_neox", "num_attention_heads": value}),
        (
            "query_key_value",
            lambda value: {
                "model_type": "falcon", "num_attention_heads": 4, "new_decoder_architecture": True, "num_kv_heads": value,
            },
        ),
        ("qkv_proj", lambda value: {"model_type": "phi3", "num_attention_heads": 4, "hidden_size": value}),
        ("qkv_proj", lambda value: {"model_type": "phi3", "num_attention_heads": 4, "head_dim": value}),
    ],
)  # fmt: skip
def test_heads_that_are_no_numbers_are_refused_and_nothing_is_cut(
    name: str, config: Callable[[object], dict[str, object]], value: object
) -> None:
    with pytest.raises(
        CheckpointError, match=r"dir/config\.json.* is .*, and has to be a whole number from 1 to"
    ) as caught:
        fused_rows(f"layers.0.{name}.weight", 48, Config(config(value), "dir/config.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["multi_query", "new_decoder_architecture"])
def test_switches_are_true_or_false(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name} is 'no', and has to be true or false"):
        fused_rows("h.0.query_key_value.weight", 12, {"model_type": "falcon", name: "no"})


@pytest.mark.parametrize("value", ["text", 3, ["kv_n_heads"], True])
def test_what_holds_values_is_an_object(value: object) -> None:
    with pytest.raises(CheckpointError, match=r"attn_config is .*, and has to be an object"):
        fused_rows("blocks.0.Wqkv.weight", 12, {"model_type": "dbrx", "n_heads": 4, "attn_config": value})


@pytest.mark.parametrize(("heads", "shared"), [(4, 3), (4, 8), (71, 2)])
def test_heads_that_cannot_share_their_keys_are_refused(heads: int, shared: int) -> None:
    config = {"model_type": "phi3", "num_attention_heads": heads, "num_key_value_heads": shared}
    with pytest.raises(CheckpointError, match=f"{heads} heads cannot share {shared} keys and values evenly"):
        fused_rows("layers.0.qkv_proj.weight", heads * (heads + 2 * shared), config)


def test_heads_of_another_size_than_the_config_has_are_not_cut() -> None:
    config = {"model_type": "phi3", "num_attention_heads": 8, "hidden_size": 64}
    # 8 heads of 8, with 2 for keys and values: 96 rows. Said to have 8, they would be cut at 32.
    assert fused_rows("layers.0.qkv_proj.weight", 96, config) == {}
    assert {part: sum(map(len, rows)) for part, rows in fused_rows(
        "layers.0.qkv_proj.weight", 96, config | {"num_key_value_heads": 2}
    ).items()} == {"q": 64, "k": 16, "v": 16}  # fmt: skip
