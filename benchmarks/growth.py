"""Time of one cold pair against its size, theirs and ours."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure

from .__main__ import counts, measured
from .matrices import lora, pretrained
from .peers import paper

FIGURE = Path("benchmarks/growth.svg")


def growth(sizes: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)) -> list[dict[str, float]]:
    """Measure, print and draw."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for n in sizes:
        W0 = pretrained(n, n, generator)
        base, tuned = {"w.weight": W0}, [{"w.weight": W0 + lora(W0, 8, generator).dense()}]
        row = measured(
            f"one {n}×{n} pair",
            lambda base=base, tuned=tuned: paper(base, tuned),
            lambda base=base, tuned=tuned: counts(base, tuned),
            rounds=5 if n < 2000 else 2 if n < 8000 else 1,
        )
        print(row, flush=True)
        found.append({"n": n, "peer_seconds": row.peer_seconds, "seconds": row.seconds, "ratio": row.ratio})
    draw(found)
    return found


def draw(found: list[dict[str, float]]) -> None:
    """Seconds against rows, both axes logarithmic."""
    ax = Figure(figsize=(5, 3.6), layout="constrained").subplots()
    n = [row["n"] for row in found]
    ax.loglog(n, [row["peer_seconds"] for row in found], "k-o", label="two full SVDs (paper)", markersize=4)
    ax.loglog(n, [row["seconds"] for row in found], "--s", color="#0072B2", label="spectra.compare", markersize=4)
    for row in found:
        ax.annotate(
            f"{row['ratio']:.0f}×", (row["n"], row["seconds"]), (0, -12), textcoords="offset points", fontsize=8
        )
    ax.set_xticks(n, [str(one) for one in n])
    ax.minorticks_off()
    ax.set_xlabel("rows and columns of the matrix")
    ax.set_ylabel("seconds for one pair")
    ax.legend(frameon=False, fontsize=8)
    ax.margins(y=0.15)
    ax.figure.savefig(FIGURE)
