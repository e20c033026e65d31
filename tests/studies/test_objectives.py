from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from spectra.studies.objectives import (
    Losses,
    blocks,
    causal_losses,
    contrastive_losses,
    pseudo_losses,
    sampled,
    sentence_pairs,
)
from tests.conftest import WORDS


@pytest.fixture
def texts(rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=40)) for _ in range(12)]


def test_causal_loss_is_the_models_own_shifted_once(pico: dict[str, Path], texts: list[str]) -> None:
    model = AutoModelForCausalLM.from_pretrained(pico["llama"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(pico["llama"])
    sequences = blocks(texts, tokenizer, 16, 9, masked=False)
    found = causal_losses(model, sequences, 4)
    ids = torch.tensor(sequences)
    with torch.no_grad():
        outcome = model(input_ids=ids, labels=ids)
        unshifted = cross_entropy(outcome.logits.flatten(0, 1), ids.flatten())
    assert found.mean == pytest.approx(float(outcome.loss), abs=1e-5)
    # The known mistake, labels that nobody shifts, gives another number here.
    assert abs(found.mean - float(unshifted)) > 1e-3
    assert int(found.counts.sum()) == 9 * 15


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_pseudo_loss_equals_the_loop_over_positions(pico: dict[str, Path], texts: list[str], batch_size: int) -> None:
    model = AutoModelForMaskedLM.from_pretrained(pico["mlm"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(pico["mlm"])
    sequences = blocks(texts, tokenizer, 12, 5, masked=True)
    special = set(tokenizer.all_special_ids)
    found = pseudo_losses(model, sequences, batch_size, mask=tokenizer.mask_token_id, special=special)
    expected = []
    for sequence in sequences:
        total = 0.0
        for position, token in enumerate(sequence):
            if token in special:
                continue
            masked = torch.tensor([sequence])
            masked[0, position] = tokenizer.mask_token_id
            with torch.no_grad():
                total += float(-model(input_ids=masked).logits[0, position].log_softmax(0)[token])
        expected.append(total)
    np.testing.assert_allclose(found.sums.numpy(), expected, atol=1e-5, rtol=1e-5)
    assert found.counts.tolist() == [10.0] * 5
    # Negative control: masking all positions at once is another, larger loss.
    at_once = torch.tensor(sequences)
    at_once[:, 1:-1] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = model(input_ids=at_once).logits[:, 1:-1]
    joint = float(cross_entropy(logits.flatten(0, 1), torch.tensor(sequences)[:, 1:-1].flatten()))
    assert abs(joint - found.mean) > 1e-5


def test_blocks_have_what_the_tokenizer_puts_around_them(pico: dict[str, Path], texts: list[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pico["mlm"])
    found = blocks(texts, tokenizer, 12, 4, masked=True)
    assert {(b[0], b[-1], len(b)) for b in found} == {(tokenizer.cls_token_id, tokenizer.sep_token_id, 12)}
    assert len(found) == 4
    words = tokenizer.convert_ids_to_tokens([t for b in found for t in b[1:-1]])
    assert set(words) <= set(WORDS)


def test_a_beginning_of_sequence_token_is_put_before_every_block(pico: dict[str, Path], texts: list[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pico["gpt2"])
    assert blocks(texts, tokenizer, 8, 3, masked=False)[0][0] != tokenizer.convert_tokens_to_ids("w3")
    tokenizer.bos_token = "w3"
    found = blocks(texts, tokenizer, 8, 3, masked=False)
    assert {block[0] for block in found} == {tokenizer.convert_tokens_to_ids("w3")}
    assert {len(block) for block in found} == {8}


def test_contrastive_loss_is_infonce_of_the_pairs(pico: dict[str, Path], texts: list[str]) -> None:
    model = AutoModel.from_pretrained(pico["bert"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(pico["bert"])
    pairs = [(a, b) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    found = contrastive_losses(model, pairs, 4, tokenizer=tokenizer, length=20)

    def embed(text: str) -> torch.Tensor:
        batch = tokenizer(text, truncation=True, max_length=20, return_tensors="pt")
        with torch.no_grad():
            return normalize(model(**batch).last_hidden_state[0].mean(0), dim=0)

    first, second = (torch.stack([embed(pair[side]) for pair in pairs]) for side in (0, 1))
    expected = cross_entropy(20 * first @ second.T, torch.arange(len(pairs)))
    assert found.mean == pytest.approx(float(expected), abs=1e-4)
    matched = contrastive_losses(model, [(a, a) for a in texts], 4, tokenizer=tokenizer, length=20)
    assert matched.mean < found.mean


def test_sentences_are_paired_with_their_neighbours_in_one_paragraph() -> None:
    text = "One two three four. Five six seven eight! Too short. Nine ten eleven twelve? A b c d."
    assert sentence_pairs([text, "Alone in its paragraph here."], 10) == [
        ("One two three four.", "Five six seven eight!"),
        ("Nine ten eleven twelve?", "A b c d."),
    ]
    assert len(sentence_pairs([text] * 20, 7)) == 7
    assert len(sentence_pairs([text] * 100, 100)) == 64  # whole groups
    assert len(sentence_pairs([text] * 100, 192)) == 192 - 192 % 64


def test_standard_error_is_that_of_the_mean_over_sequences() -> None:
    rng = np.random.default_rng(0)
    draws = torch.from_numpy(rng.normal(2.0, 0.5, (400, 200)))
    means = [Losses(row * 10, torch.full((200,), 10.0)).mean for row in draws]
    stated = Losses(draws[0] * 10, torch.full((200,), 10.0)).standard_error()
    assert stated == pytest.approx(float(np.std(means)), rel=0.15)
    # The rise of the same sequences is known far better than either loss.
    before, after = (Losses(draws[0] + shift, torch.ones(200)) for shift in (0.0, 0.1))
    assert after.standard_error(before) < 1e-9 < after.standard_error()


def test_a_model_writes_sequences_of_its_own_that_it_finds_likely(pico: dict[str, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(pico["llama"]).eval()
    with torch.no_grad():  # sharper than at random, so that its own writing differs from anything
        model.get_output_embeddings().weight.mul_(30)
    tokenizer = AutoTokenizer.from_pretrained(pico["llama"])
    tokenizer.bos_token = "w0"
    torch.manual_seed(0)
    own = sampled(model, tokenizer, 12, 6, 4)
    assert {len(s) for s in own} == {12}
    assert len(own) == 6
    other = torch.randint(2, 50, (6, 12)).tolist()
    assert causal_losses(model, own, 4).mean < causal_losses(model, other, 4).mean


def test_a_models_own_settings_of_generation_do_not_bend_what_it_writes(pico: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pico["llama"])
    tokenizer.bos_token = "w0"
    written = []
    for temperature in (None, 0.01):
        model = AutoModelForCausalLM.from_pretrained(pico["llama"]).eval()
        if temperature:
            model.generation_config.update(do_sample=True, temperature=temperature, top_p=0.5, repetition_penalty=2.0)
        torch.manual_seed(0)
        written.append(sampled(model, tokenizer, 12, 6, 4))
    assert written[0] == written[1]
    assert len({tuple(s) for s in written[0]}) > 1
