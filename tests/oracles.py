"""Matrices whose spectra and intruders are known by construction, the paper's procedure, and pico models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from torch import Tensor


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Uniform (Haar) orthogonal matrix, shape (n, n)."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def with_spectrum(rng: np.random.Generator, m: int, n: int, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random singular vectors for given singular values: U (m, p), s (p,), Vh (p, n)."""
    p = min(m, n)
    return orthogonal(rng, m)[:, :p], np.asarray(s, dtype=float), orthogonal(rng, n)[:, :p].T


def planted(
    rng: np.random.Generator, m: int, n: int, mixes: list[int], *, right: bool = False
) -> tuple[Tensor, Tensor, list[float]]:
    """``W0``, ``W`` and the exact best cosine of each leading singular vector of ``W``.

    The leading vectors of ``W`` come in groups: a group of ``d`` is the equal mixture (Hadamard) of ``d`` of ``W0``'s,
    so that each has a best cosine of ``1/√d`` exactly. `right` mixes the right vectors instead.
    """
    p = min(m, n)
    U, s, Vh = with_spectrum(rng, m, n, np.linspace(10.0, 1.0, p))
    mixed = (Vh.T if right else U).copy()
    cosines: list[float] = []
    start = 0
    for d in mixes:
        mixed[:, start : start + d] = mixed[:, start : start + d] @ (scipy.linalg.hadamard(d) / np.sqrt(d))
        cosines += [d**-0.5] * d
        start += d
    assert start <= p
    cosines += [1.0] * (p - start)
    W = (U * s) @ mixed.T if right else (mixed * s) @ Vh
    return torch.from_numpy((U * s) @ Vh).float(), torch.from_numpy(W).float(), cosines


# Spectra that iterations and bounds meet, each a function of a generator and the number of values.
SPECTRA: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "flat": lambda rng, p: np.linspace(1.0, 0.5, p),
    "normal": lambda rng, p: np.linalg.svd(rng.standard_normal((p, p)) / p**0.5, compute_uv=False),
    "pretrained": lambda rng, p: 1 / (1 + 8 * np.arange(p) / p) + 0.02 * rng.random(p),
    "geometric": lambda rng, p: 0.9 ** np.arange(p),
    "steep": lambda rng, p: 0.5 ** np.arange(p),
    "steeper": lambda rng, p: 0.3 ** np.arange(p),
    "repeated": lambda rng, p: np.repeat(np.linspace(2.0, 0.2, -(-p // 3)), 3)[:p],
    "clustered": lambda rng, p: np.round(np.linspace(3.0, 0.3, p), 1) + 1e-6 * rng.random(p),
    "few values": lambda rng, p: np.sort(rng.choice([2.0, 1.1, 0.7, 0.2], p))[::-1],
    "orthogonal": lambda rng, p: np.ones(p),
    "outlier": lambda rng, p: np.r_[50.0, np.linspace(1.0, 0.3, p - 1)],
    "rank deficient": lambda rng, p: np.r_[np.linspace(2.0, 1.0, p - p // 3), np.zeros(p // 3)],
    "deficient and repeated": lambda rng, p: np.r_[
        np.repeat([2.0, 1.3], (p - p // 2 + 1) // 2)[: p - p // 2], np.zeros(p // 2)
    ],
}


def with_intruders(
    rng: np.random.Generator, m: int, n: int, s: np.ndarray, cosines: list[float], *, other: int = 0
) -> tuple[Tensor, Tensor]:
    """``W0`` with the spectrum `s`, and ``W`` whose leading left vectors have the given cosines with base vectors.

    Vector ``j`` is ``c x_i + √(1 − c²) g``, ``i = j + other``, ``g`` a random direction in the rest of the space, so
    that ``c`` is its best cosine unless ``g`` happens to hold a larger one.
    """
    U, s, Vh = with_spectrum(rng, m, n, np.sort(s)[::-1])
    k = len(cosines)
    leading = U[:, other : other + k] * np.asarray(cosines)
    free = rng.standard_normal((m, k))
    free -= U[:, other : other + k] @ (U[:, other : other + k].T @ free)
    free = np.linalg.qr(free)[0]
    mixed = leading + free * np.sqrt(1 - np.asarray(cosines) ** 2)
    values = s[0] * np.linspace(2.0, 1.3, k)
    spikes = (mixed * values) @ orthogonal(rng, n)[:, :k].T
    # What the base has outside the new directions stays as it was, below them.
    rest = (U * s) @ Vh
    rest -= mixed @ (mixed.T @ rest)
    return torch.from_numpy((U * s) @ Vh).float(), torch.from_numpy(spikes + 0.6 * rest).float()


def paper_max_cosines(W0: Tensor, W: Tensor, k: int = 10) -> Tensor:
    """The paper's own procedure: two full SVDs in float32, absolute cosines, the best of each column, shape (k,)."""
    U0 = torch.linalg.svd(W0.float(), full_matrices=False)[0]
    U = torch.linalg.svd(W.float(), full_matrices=False)[0]
    return (U0.T @ U).abs().max(dim=0).values[:k]


def pico_state(*, layers: int = 2, width: int = 12, seed: int = 0, prefix: str = "") -> dict[str, Tensor]:
    """A tiny transformer's state dict: embeddings, two linear layers and a norm a layer, a head."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    state = {"embed_tokens.weight": normal(20, width)}
    for i in range(layers):
        state[f"layers.{i}.self_attn.q_proj.weight"] = normal(width, width)
        state[f"layers.{i}.mlp.up_proj.weight"] = normal(2 * width, width)
        state[f"layers.{i}.norm.weight"] = normal(width)
    state["lm_head.weight"] = normal(20, width)
    return {prefix + name: tensor for name, tensor in state.items()}


def tuned_state(state: dict[str, Tensor], *, scale: float = 0.3, rank: int = 1, seed: int = 1) -> dict[str, Tensor]:
    """`state` with a random low-rank update on each linear layer."""
    generator = torch.Generator().manual_seed(seed)
    tuned = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in tuned.items():
        if "proj" in name:
            B = torch.randn(tensor.shape[0], rank, generator=generator)
            A = torch.randn(rank, tensor.shape[1], generator=generator)
            tuned[name] = (tensor.float() + scale * B @ A).to(tensor.dtype)
    return tuned


def pico_model(kind: str, *, seed: int = 0, classes: int = 0, tie: bool = True) -> torch.nn.Module:
    """A transformers model of a few thousand parameters: ``"bert"``, ``"mlm"``, ``"gpt2"`` or ``"llama"``."""
    import transformers as t

    torch.manual_seed(seed)
    if kind in ("bert", "mlm"):
        config = t.BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=40,
        )
        if kind == "mlm":
            return t.AutoModelForMaskedLM.from_config(config)
        return t.AutoModelForSequenceClassification.from_config(config) if classes else t.AutoModel.from_config(config)
    if kind == "gpt2":
        config = t.GPT2Config(
            vocab_size=60,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=40,
            tie_word_embeddings=tie,
            bos_token_id=0,
            eos_token_id=0,
        )
    else:
        config = t.LlamaConfig(
            vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=32, tie_word_embeddings=tie,
        )  # fmt: skip
    return t.AutoModelForCausalLM.from_config(config)


def pico_tokenizer(directory: Path, words: list[str]) -> None:
    """Save a word-level tokenizer into a model directory."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    if directory.name == "mlm":
        special |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if directory.name == "mlm":
        ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(directory)


def randomise_adapter(model: torch.nn.Module, *, std: float = 0.3, seed: int = 2) -> None:
    """Give every LoRA factor of a PEFT model random values, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
            elif "magnitude" in name:
                parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
