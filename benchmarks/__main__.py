"""`make bench`: ratios against the paper's own procedure, in one run on this machine, verdicts checked to be the same.

The peer is two ``torch.linalg.svd(full_matrices=False)`` a matrix and the absolute cosine product. Times are medians of
several rounds in which both run in turn. Only the exact method exists so far, so one pair cannot be faster than the
peer; what is gained is the base, decomposed once for all tuned checkpoints.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

import spectra

ROUNDS = 5
OUT = Path("benchmarks/results.json")


def update(W0: torch.Tensor, rank: int, generator: torch.Generator) -> torch.Tensor:
    """A LoRA-like update whose largest singular value is that of the base."""
    B = torch.randn(W0.shape[0], rank, generator=generator)
    A = torch.randn(rank, W0.shape[1], generator=generator)
    delta = B @ A
    return delta * (torch.linalg.matrix_norm(W0, 2) / torch.linalg.matrix_norm(delta, 2))


def peer(base: dict[str, torch.Tensor], tuned: list[dict[str, torch.Tensor]]) -> list[int]:
    """Intruder counts by the paper's procedure, for each tuned checkpoint."""
    counts = []
    for state in tuned:
        count = 0
        for name, W0 in base.items():
            U0 = torch.linalg.svd(W0, full_matrices=False)[0]
            U = torch.linalg.svd(state[name], full_matrices=False)[0]
            count += int(((U0.T @ U).abs().max(dim=0).values[:10] < 0.5).sum())
        counts.append(count)
    return counts


def ours(base: dict[str, torch.Tensor], tuned: list[dict[str, torch.Tensor]]) -> list[int]:
    """The same through the library."""
    return [result.num_intruders for result in spectra.compare(base, tuned)]


def seconds(function: Callable[..., list[int]], *arguments: object) -> tuple[float, list[int]]:
    """Wall time of one call, and what it gave."""
    started = time.perf_counter()
    found = function(*arguments)
    return time.perf_counter() - started, found


def main() -> None:
    """Print and save every row."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for work, size, matrices, checkpoints in (
        ("one 768×768 pair", 768, 1, 1),
        ("768×768, 4 checkpoints of one base", 768, 1, 4),
        ("384×384, 12 matrices, 4 checkpoints of one base", 384, 12, 4),
    ):
        base = {
            f"layers.{i}.q.weight": torch.randn(size, size, generator=generator) / size**0.5 for i in range(matrices)
        }
        tuned = [{n: W0 + update(W0, 8, generator) for n, W0 in base.items()} for _ in range(checkpoints)]
        times: list[tuple[float, float]] = []
        for _ in range(ROUNDS + 1):
            (theirs, expected), (mine, found) = seconds(peer, base, tuned), seconds(ours, base, tuned)
            assert found == expected, f"{work}: {found} intruders, the paper's procedure finds {expected}"
            times.append((theirs, mine))
        ratios = sorted(theirs / mine for theirs, mine in times[1:])  # the first round warms up
        rows.append(
            {
                "work": work,
                "peer_seconds": statistics.median(t for t, _ in times[1:]),
                "seconds": statistics.median(m for _, m in times[1:]),
                "ratio": statistics.median(ratios),
                "ratio_min": ratios[0],
                "ratio_max": ratios[-1],
            }
        )
        row = rows[-1]
        spread = f"{row['ratio_min']:.2f} to {row['ratio_max']:.2f}"
        print(f"{work:<50} {row['ratio']:5.2f}× ({spread}), {row['seconds']:.2f} s")
    machine = {"cores": os.cpu_count(), "torch": torch.__version__, "python": platform.python_version()}
    OUT.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
