"""Losses on plain text, a sequence at a time: causal, masked (pseudo-loss) and contrastive."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ..errors import CheckpointError

_GROUP = 64  # pairs that a sentence is told from in the contrastive loss
_SCALE = 20.0  # of cosines in the contrastive loss, the value sentence encoders are trained with


@dataclass(frozen=True)
class Losses:
    """Summed loss and number of predictions of each sequence, shape (sequences,) both, in nats."""

    sums: Tensor
    counts: Tensor

    @property
    def mean(self) -> float:
        """Nats a prediction."""
        return float(self.sums.sum() / self.counts.sum())

    def standard_error(self, other: Losses | None = None) -> float:
        """Of the mean, or of its rise over `other` on the same sequences, over the sequences as independent draws.

        The delta method for a ratio of sums (Cochran, "Sampling Techniques", 3rd ed., section 2.11): the residuals
        ``sums − mean · counts`` have mean zero, and their standard deviation over ``√n · mean count`` is that of the
        ratio.
        """
        residuals = self.sums - self.mean * self.counts
        if other is not None:
            residuals = residuals - (other.sums - other.mean * other.counts)
        n = len(residuals)
        return float(residuals.std() * n**0.5 / self.counts.sum()) if n > 1 else float("nan")


def blocks(texts: Sequence[str], tokenizer: Any, length: int, most: int, *, masked: bool) -> list[list[int]]:
    """At most `most` sequences of `length` tokens, evenly from the whole text, special tokens included.

    A masked model's carry what its tokenizer puts around a sequence; a causal one's begin with its first token, where
    it has one, whether or not its tokenizer adds it.
    """
    ids = [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    around = tokenizer("")["input_ids"] if masked else []
    start = [tokenizer.bos_token_id] if not masked and tokenizer.bos_token_id is not None else []
    body = length - len(around) - len(start)
    cut = [ids[i : i + body] for i in range(0, len(ids) - body + 1, body)]
    chosen = [cut[i * len(cut) // most] for i in range(most)] if len(cut) > most else cut
    if not masked:
        return [start + block for block in chosen]
    half = len(around) // 2  # [CLS] … [SEP]
    return [around[:half] + block + around[half:] for block in chosen]


@torch.no_grad()
def causal_losses(model: Any, sequences: Sequence[Sequence[int]], batch_size: int) -> Losses:
    """Next-token loss of each sequence of token ids; the labels are shifted here, once, and by nobody else."""
    sums = []
    ids = torch.tensor(sequences, device=_device(model))
    for batch in torch.split(ids, batch_size):
        logits = model(input_ids=batch).logits[:, :-1].float()
        losses = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        sums.append(losses.view(len(batch), -1).sum(dim=1).double().cpu())
    found = torch.cat(sums)
    return Losses(found, torch.full_like(found, ids.shape[1] - 1))


@torch.no_grad()
def pseudo_losses(
    model: Any, sequences: Sequence[Sequence[int]], batch_size: int, *, mask: int, special: set[int]
) -> Losses:
    """Masked-LM pseudo-loss of each sequence (Salazar et al., arXiv 1910.14659, eq. 1).

    Each position that is not a special token is masked alone and predicted from all the others: as many copies of a
    sequence as it has such positions, run in batches of `batch_size`, the same numbers as one at a time.
    """
    sums, counts = [], []
    for sequence in sequences:
        ids = torch.tensor(sequence, device=_device(model))
        positions = torch.tensor([i for i, token in enumerate(sequence) if token not in special], device=ids.device)
        total = 0.0
        for chosen in torch.split(positions, batch_size):
            rows = torch.arange(len(chosen), device=ids.device)
            copies = ids.repeat(len(chosen), 1)
            copies[rows, chosen] = mask
            logits = model(input_ids=copies, attention_mask=torch.ones_like(copies)).logits[rows, chosen].float()
            total += float(cross_entropy(logits, ids[chosen], reduction="sum"))
        sums.append(total)
        counts.append(len(positions))
    return Losses(torch.tensor(sums, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64))


def sentence_pairs(texts: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Neighbouring sentences of at least four words each, at most `most` pairs, evenly from the whole text.

    A whole number of groups where there is one at least: a smaller last group would have an easier task.
    """
    found = []
    for text in texts:
        sentences = [s for s in re.split(r"(?<=[.!?])\s+", " ".join(text.split())) if len(s.split()) >= 4]
        found += list(zip(sentences[::2], sentences[1::2], strict=False))
    number = min(most, len(found))
    number -= number % _GROUP if number > _GROUP else 0
    return [found[i * len(found) // number] for i in range(number)]


@torch.no_grad()
def contrastive_losses(
    model: Any, pairs: Sequence[tuple[str, str]], batch_size: int, *, tokenizer: Any, length: int, group: int = _GROUP
) -> Losses:
    """InfoNCE of each pair: its second sentence told from those of the others of its `group` by the cosine.

    The objective that sentence encoders are trained with (van den Oord et al., arXiv 1807.03748, eq. 4; scale 20),
    on mean-pooled hidden states. Embeddings that tell nothing apart have the logarithm of the group's size, so a loss
    above it is worse than nothing. The pairs of a group share the sentences they are told from, which a standard error
    over pairs as independent draws leaves out.
    """
    device = _device(model)

    def embed(sentences: list[str]) -> Tensor:
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        found: dict[int, Tensor] = {}
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = tokenizer(
                [sentences[i] for i in chosen], padding=True, truncation=True, max_length=length, return_tensors="pt"
            ).to(device)
            mask = batch["attention_mask"][..., None].float()
            pooled = (model(**batch).last_hidden_state.float() * mask).sum(1) / mask.sum(1)
            found |= dict(zip(chosen, normalize(pooled), strict=True))
        return torch.stack([found[i] for i in range(len(sentences))])

    first, second = (embed([pair[side] for pair in pairs]) for side in (0, 1))
    sums = [
        cross_entropy(_SCALE * a @ b.T, torch.arange(len(a), device=device), reduction="none")
        for a, b in zip(torch.split(first, group), torch.split(second, group), strict=True)
    ]
    found = torch.cat(sums).double().cpu()
    return Losses(found, torch.ones_like(found))


@torch.no_grad()
def sampled(model: Any, tokenizer: Any, length: int, most: int, batch_size: int) -> list[list[int]]:
    """`most` sequences of `length` tokens that a causal model writes itself, at temperature 1, from the global seed.

    On these the rise of the loss estimates the Kullback-Leibler divergence of the tuned model from the base.
    """
    from transformers import GenerationConfig

    known = (tokenizer.bos_token_id, model.config.bos_token_id, tokenizer.eos_token_id)
    start = next((token for token in known if token is not None), None)
    if start is None:
        raise CheckpointError("self: the base has no token to begin its own text with; name a text file")
    # Nothing of the model's own, from which `generate` fills in what is not set: a temperature, a penalty or a
    # forbidden token would be another distribution. Without an end-of-text token to stop at, one that is drawn is like
    # any other.
    settings = {"do_sample": True, "top_k": 0, "max_new_tokens": length - 1, "pad_token_id": start}
    plain = GenerationConfig(**settings)  # type: ignore[no-untyped-call]  # untyped in transformers
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]  # untyped in transformers
    found: list[list[int]] = []
    while len(found) < most:
        ids = torch.full((min(batch_size, most - len(found)), 1), start, device=_device(model))
        found += model.generate(ids, generation_config=plain, attention_mask=torch.ones_like(ids)).tolist()
    return found


def _device(model: Any) -> torch.device:
    device: torch.device = next(model.parameters()).device
    return device


# An objective is a function and a row here; `forgetting` prepares what each is measured on.
LOSSES: dict[str, Callable[..., Losses]] = {
    "causal": causal_losses,
    "masked": pseudo_losses,
    "contrastive": contrastive_losses,
}
