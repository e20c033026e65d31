from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra import PairingError
from spectra.weights.names import align, drop, is_default, locate, strip_wrappers


@pytest.mark.parametrize(
    ("wrapped", "clean"),
    [
        ("layers.0.q.weight", "layers.0.q.weight"),
        ("module.layers.0.q.weight", "layers.0.q.weight"),
        ("module.module.layers.0.q.weight", "layers.0.q.weight"),
        ("_orig_mod.layers.0.q.weight", "layers.0.q.weight"),
        ("layers.0._fsdp_wrapped_module.q.weight", "layers.0.q.weight"),
        ("layers.0._checkpoint_wrapped_module.q.weight", "layers.0.q.weight"),
        ("base_model.model.model.layers.0.q.base_layer.weight", "model.layers.0.q.weight"),
        ("_orig_mod.module.base_model.model.q.base_layer.weight", "q.weight"),
        ("base_model.model.classifier.modules_to_save.default.weight", "classifier.weight"),
        ("my_orig_mod.weight", "my_orig_mod.weight"),
    ],
)
def test_wrappers_are_removed(wrapped: str, clean: str) -> None:
    assert strip_wrappers(wrapped) == clean


words = st.sampled_from(["layers", "0", "1", "attn", "mlp", "q", "weight", "encoder"])
names = st.lists(words, min_size=1, max_size=5).map(".".join)
wrappers = st.sampled_from(["module.", "_orig_mod.", "base_model.model.", "_fsdp_wrapped_module."])


@given(names, st.lists(wrappers, max_size=4))
def test_any_pile_of_wrappers_comes_off(name: str, pile: list[str]) -> None:
    assert strip_wrappers("".join(pile) + name) == name
    assert strip_wrappers(strip_wrappers(name)) == strip_wrappers(name)


BODY = [f"encoder.layer.{i}.{part}.weight" for i in range(3) for part in ("query", "key")]


@pytest.mark.parametrize(
    ("base", "tuned", "prefixes"),
    [
        (BODY, BODY, ("", "")),
        (BODY, ["bert." + n for n in BODY], ("", "bert.")),
        (["model." + n for n in BODY], BODY, ("model.", "")),
        (["bert." + n for n in BODY], ["roberta." + n for n in BODY], ("bert.", "roberta.")),
        (["model.language_model." + n for n in BODY], BODY, ("model.language_model.", "")),
        (BODY, [*("bert." + n for n in BODY), "classifier.weight"], ("", "bert.")),
    ],
)
def test_leading_parts_on_one_side_are_found(base: list[str], tuned: list[str], prefixes: tuple[str, str]) -> None:
    assert align(base, tuned) == prefixes
    assert {drop(n, prefixes[0]) for n in base} <= {drop(n, prefixes[1]) for n in tuned}


def test_two_ways_that_pair_different_tensors_are_not_guessed_between() -> None:
    layers = [f"layers.{i}.fc.weight" for i in range(2)]
    base = [f"model.{stack}.{name}" for stack in ("encoder", "decoder") for name in layers]
    with pytest.raises(
        PairingError, match=r"fit without 'model\.(en|de)coder\.' as well as without 'model\.(en|de)coder\.'"
    ):
        align(base, layers)
    with pytest.raises(PairingError, match="fit without"):  # also where one of the two is the longer word
        align([f"{stack}.{name}" for stack in ("text_model", "vision_model") for name in layers], layers)
    # Dropping less is no guess: the decoder could be dropped for the encoder, but need not be.
    assert align(
        [f"{stack}.{name}" for stack in ("encoder", "decoder") for name in layers],
        [f"model.encoder.{n}" for n in layers],
    ) == ("", "model.")
    # Something that only one of them has decides.
    assert align([*base, "model.encoder.conv.weight"], [*layers, "conv.weight"]) == ("model.encoder.", "")


def test_a_layer_is_never_mistaken_for_the_whole() -> None:
    # Dropping "layer.0." on one side would match three names that are not the same.
    assert align(["layer.0.q.weight", "layer.0.k.weight"], ["q.weight", "k.weight"]) == ("", "")


@pytest.mark.parametrize(
    "name",
    ["model.embed_tokens", "embeddings.word_embeddings", "transformer.wte", "transformer.wpe", "lm_head", "classifier.dense",
     "score", "bert.pooler.dense", "cls.predictions.decoder", "shared", "gpt_neox.embed_in", "vit.embeddings.patch_embeddings.projection"],
)  # fmt: skip
def test_embeddings_and_heads_are_off_by_default(name: str) -> None:
    assert not is_default(name)


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.self_attn.q_proj", "h.0.attn.c_attn[q]", "encoder.layer.1.output.dense", "mlp.shared_expert.up_proj",
     "layers.0.mlp.experts.gate_up_proj[7]", "layers.0.mlp.gate", "blocks.0.embedder_proj"],
)  # fmt: skip
def test_the_body_is_on_by_default(name: str) -> None:
    assert is_default(name)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj", ("model.layers", 3, "self_attn.q_proj")),
        ("encoder.block.2.layer.0.SelfAttention.q", ("encoder.block", 2, "layer.0.SelfAttention.q")),
        ("0.linear", ("", 0, "linear")),
        ("pooler.dense", ("", None, "pooler.dense")),
    ],
)
def test_where_a_matrix_sits(name: str, place: tuple[str, int | None, str]) -> None:
    assert locate(name) == place
