from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from spectra import PairingError, open_checkpoint
from spectra.weights import Pairing, pair
from tests.oracles import pico_state, tuned_state

BODY = [f"layers.{i}.{part}" for i in range(2) for part in ("self_attn.q_proj", "mlp.up_proj")]


def _pair(base: Any, tuned: Any, **options: Any) -> Pairing:
    return pair(open_checkpoint(base), open_checkpoint(tuned), **options)


def _names(pairing: Pairing) -> list[str]:
    return [one.name for one in pairing.pairs]


@pytest.mark.parametrize(
    "prefixes",
    [("", ""), ("", "model."), ("module.", ""), ("bert.", "module._orig_mod."), ("model.", "base_model.model.model.")],
)
def test_names_meet_whatever_wraps_them(prefixes: tuple[str, str]) -> None:
    found = _pair(pico_state(prefix=prefixes[0]), tuned_state(pico_state(prefix=prefixes[1])))
    assert [name.removeprefix("bert.").removeprefix("model.") for name in _names(found)] == BODY


def test_everything_left_over_is_listed_with_its_reason() -> None:
    base, tuned = pico_state(), tuned_state(pico_state())
    tuned["new_head.weight"] = tuned.pop("lm_head.weight")
    del tuned["layers.1.mlp.up_proj.weight"]
    found = _pair(base, tuned)
    assert _names(found) == BODY[:-1]
    assert {s.name: s.reason for s in found.skipped} == {
        "embed_tokens": "embedding or head: left out unless --include names it",
        "layers.0.norm": "not a matrix: 1-D",
        "layers.1.norm": "not a matrix: 1-D",
        "layers.1.mlp.up_proj": "only in the base",
        "lm_head": "embedding or head: left out unless --include names it",
        "new_head": "only in the tuned checkpoint",
    }
    assert not any(s.problem for s in found.skipped)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["q_proj"]}, [BODY[0], BODY[2]]),
        ({"include": ["q_proj", r"^layers\.1\."]}, [BODY[0], BODY[2], BODY[3]]),
        ({"exclude": ["q_proj"]}, [BODY[1], BODY[3]]),
        ({"include": ["layers"], "exclude": [r"\.0\."]}, BODY[2:]),
        ({"include": ["embed", "lm_head"]}, ["embed_tokens", "lm_head"]),
    ],
)
def test_selection(options: dict[str, list[str]], expected: list[str]) -> None:
    assert _names(_pair(pico_state(), tuned_state(pico_state()), **options)) == expected


def test_a_grown_vocabulary_is_compared_on_the_shared_rows() -> None:
    base, tuned = pico_state(), tuned_state(pico_state())
    tuned["embed_tokens.weight"] = torch.cat([base["embed_tokens.weight"] + 1, torch.zeros(3, 12)])
    (one,) = _pair(base, tuned, include=["embed"]).pairs
    assert one.rows == 20
    assert one.note == "first 20 rows of 20 and 23"
    W0 = one.read_base(dtype=torch.float32, device="cpu")
    torch.testing.assert_close(one.read_tuned(W0), W0 + 1)


def test_other_shapes_that_differ_are_a_problem_and_the_rest_goes_on() -> None:
    base, tuned = pico_state(), tuned_state(pico_state())
    tuned["layers.0.mlp.up_proj.weight"] = torch.ones(20, 12)
    found = _pair(base, tuned)
    assert len(found.pairs) == 3
    (problem,) = [s for s in found.skipped if s.problem]
    assert problem.reason == "shapes differ: (24, 12) in the base, (20, 12) in the tuned checkpoint"


def test_what_only_the_tuned_side_cannot_give_is_listed_once() -> None:
    base, tuned = pico_state(), tuned_state(pico_state())
    tuned["layers.0.mlp.up_proj.weight"] = torch.zeros(24, 12, dtype=torch.int8)
    entries = [s for s in _pair(base, tuned).skipped if s.name == "layers.0.mlp.up_proj"]
    assert [(s.reason, s.problem) for s in entries] == [
        ("stored as int8, which is not a weight type spectra reads", True)
    ]


@pytest.mark.parametrize("first", [True, False])
def test_two_names_that_become_one_are_not_lost(first: bool) -> None:
    base = pico_state()
    extra = {"layers.0.mlp.up_proj.weight": torch.randn(24, 12)}
    wrapped = tuned_state(pico_state(prefix="model."))
    found = _pair(base, extra | wrapped if first else wrapped | extra)
    W0 = torch.zeros(1)
    torch.testing.assert_close(found.pairs[1].read_tuned(W0), wrapped["model.layers.0.mlp.up_proj.weight"])
    (clash,) = [s for s in found.skipped if s.problem]
    assert (clash.name, clash.reason) == ("layers.0.mlp.up_proj", "named like another matrix without its 'model.'")


def test_an_untied_head_is_not_taken_for_the_bases_tied_one(tmp_path: Path) -> None:
    for name, tied in (("base", True), ("tuned", False)):
        (tmp_path / name).mkdir()
        state = pico_state() if tied else tuned_state(pico_state())
        state["embed_tokens.weight"] = state["lm_head.weight"] * (1 if tied else 2)
        save_file(state, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": tied}))
    reasons = {s.name: s.reason for s in _pair(tmp_path / "base", tmp_path / "tuned", include=[".*"]).skipped}
    assert "lm_head" in reasons  # the base has it once
    assert list(open_checkpoint(tmp_path / "tuned").tensors)[-1] == "lm_head.weight"
    assert [p.name for p in _pair(tmp_path / "tuned", tmp_path / "tuned", include=["lm_head"]).pairs] == ["lm_head"]


@pytest.mark.parametrize("side", [0, 1])
def test_damage_in_what_is_left_out_is_no_problem(side: int) -> None:
    states = [pico_state(), tuned_state(pico_state())]
    states[side]["layers.0.mlp.up_proj.weight"] = torch.zeros(24, 12, dtype=torch.int8)
    states[side]["embed_tokens.weight"] = torch.zeros(20, 12, dtype=torch.int8)
    assert [s.name for s in _pair(*states).skipped if s.problem] == ["layers.0.mlp.up_proj"]
    assert not [s for s in _pair(*states, exclude=[r"0\.mlp"]).skipped if s.problem]


def test_the_config_of_one_side_serves_both() -> None:
    from tests.oracles import pico_model

    model = pico_model("gpt2")
    found = _pair(model, {name: tensor + 1 for name, tensor in model.state_dict().items()})
    assert {"transformer.h.0.attn.c_attn[q]", "transformer.h.1.mlp.c_fc"} <= set(_names(found))


@pytest.mark.parametrize(
    ("base", "tuned", "options", "message"),
    [
        (
            {"a.0.q.weight": torch.ones(2, 2), "a.1.q.weight": torch.ones(2, 2)},
            {f"x.{i}.y.weight": torch.ones(2, 2) for i in range(4)},
            {},
            r"no tensor name in common; the base has a\.0\.q\.weight, a\.1\.q\.weight, the other x\.0\.y\.weight, "
            r"x\.1\.y\.weight, x\.2\.y\.weight, …",
        ),
        (
            pico_state(width=12),
            pico_state(width=8),
            {},
            r"nothing can be compared, as layers\.0\.self_attn\.q_proj: shapes differ",
        ),
        ({"norm.weight": torch.ones(3)}, pico_state(), {}, "holds no weight matrices"),
        ({"q.weight": torch.zeros(0)}, {"q.weight": torch.zeros(0)}, {}, "ZeRO-3"),
        (pico_state(), pico_state(), {"include": ["nowhere"]}, "every matrix they share is left out"),
        (pico_state(), pico_state(), {"include": ["("]}, r"'\(' is not a regular expression"),
    ],
)
def test_one_sentence_for_what_cannot_be_paired(base: Any, tuned: Any, options: Any, message: str) -> None:
    with pytest.raises(PairingError, match=message) as caught:
        _pair(base, tuned, **options)
    assert "\n" not in str(caught.value)
