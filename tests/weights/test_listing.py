from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from spectra import CheckpointError, open_checkpoint
from spectra.weights import list_matrices
from tests.oracles import pico_model, pico_state


def test_kinds_of_matrices() -> None:
    state = pico_state(layers=1) | {"conv.weight": torch.ones(3, 2, 2, 2), "mlp.experts.up": torch.ones(2, 3, 4)}
    rows, skipped = list_matrices(open_checkpoint(state))
    assert {row["name"]: row["kind"] for row in rows} == {
        "embed_tokens": "embedding",
        "layers.0.self_attn.q_proj": "linear",
        "layers.0.mlp.up_proj": "linear",
        "lm_head": "head",
        "conv": "convolution",
        "mlp.experts.up[0]": "expert",
        "mlp.experts.up[1]": "expert",
    }
    assert [s.name for s in skipped] == ["layers.0.norm"]


def test_an_adapter_shows_ranks_and_scales() -> None:
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj"], rank_pattern={"layers.1.self_attn.q_proj": 2}, use_dora=True
    )
    rows, _ = list_matrices(open_checkpoint(get_peft_model(pico_model("llama"), config)))
    assert [(row["rank"], row["scale"], row["kind"]) for row in rows] == [(4, 2.0, "DoRA"), (2, 4.0, "DoRA")]
    assert (rows[0]["rows"], rows[0]["cols"]) == (16, 16)


def test_nothing_to_list() -> None:
    with pytest.raises(CheckpointError, match="holds no weight matrices"):
        list_matrices(open_checkpoint({"norm.weight": torch.ones(3)}))
