"""What is measured on: random matrices with the spectra of pretrained ones, and updates like LoRA's."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from spectra.linalg import LowRank

State = dict[str, Tensor]

ROBERTA_LAYER = {
    "attention.query": (768, 768),
    "attention.key": (768, 768),
    "attention.value": (768, 768),
    "attention.output": (768, 768),
    "intermediate": (3072, 768),
    "output": (768, 3072),
}


def pretrained(m: int, n: int, generator: torch.Generator) -> Tensor:
    """Random singular vectors under ``s_i = (1 + i/10)^(-1/3) √(1 − c i/p)``, ``c = 1`` for a square one, else 0.94.

    That is what the linear layers of sentence encoders of 384 and 768 columns come near to (σ_10/σ_1 between 0.28 and
    0.85, σ_{p/2}/σ_1 between 0.10 and 0.25; the square ones nearly singular, the others with σ_p/σ_1 of 0.02 to 0.07).
    """
    p = min(m, n)
    i = torch.arange(p)
    s = (1 + i / 10) ** (-1 / 3) * (1 - (1 if m == n else 0.94) * i / p).sqrt()
    U, V = (torch.linalg.qr(torch.randn(size, p, generator=generator)).Q for size in (m, n))
    return (U * s) @ V.mT


def gaussian(m: int, n: int, generator: torch.Generator) -> Tensor:
    """Independent entries: what an untrained layer looks like, and the slowest to converge on."""
    return torch.randn(m, n, generator=generator) / n**0.5


def lora(W0: Tensor, rank: int, generator: torch.Generator) -> LowRank:
    """A random update of low rank, as strong as the base (``σ1(ΔW) = σ1(W0)``): `rank` intruders, or a few less."""
    B = torch.randn(W0.shape[0], rank, generator=generator)
    A = torch.randn(rank, W0.shape[1], generator=generator)
    v = torch.ones(W0.shape[1], 1)
    for _ in range(20):  # a few per cent are near enough
        v = torch.nn.functional.normalize(W0.mT @ (W0 @ v), dim=0)
    return LowRank(B, A, float(torch.linalg.vector_norm(W0 @ v)) / float(LowRank(B, A).svd().s[0]))


def shuffled(W0: Tensor, generator: torch.Generator) -> Tensor:
    """Other singular vectors under the same spectrum, at the cost of a copy: rows, columns and signs exchanged."""
    rows, cols = (torch.randperm(size, generator=generator) for size in W0.shape)
    signs = [torch.randint(0, 2, (size,), generator=generator) * 2.0 - 1 for size in W0.shape]
    return W0[rows][:, cols] * signs[0][:, None] * signs[1]


def roberta(generator: torch.Generator, layers: int = 12) -> Iterator[tuple[str, Tensor]]:
    """The linear layers of RoBERTa-base's shapes."""
    firsts = {shape: pretrained(*shape, generator) for shape in set(ROBERTA_LAYER.values())}
    for i in range(layers):
        for name, shape in ROBERTA_LAYER.items():
            yield f"encoder.layer.{i}.{name}.weight", shuffled(firsts[shape], generator)
