"""Peak memory of comparing one pair of files, in a fresh process, in units of the matrix in float32."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from .matrices import gaussian, lora, pretrained
from .streamed import MEASURE


def memory(n: int = 4096) -> list[dict[str, object]]:
    """Measure and print a merged update of low rank, a full-rank one, and the latter in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    W0 = pretrained(n, n, generator)
    full = W0 + 0.001 * gaussian(n, n, generator)
    pairs = {
        "merged LoRA, float32": (W0, W0 + lora(W0, 8, generator).dense()),
        "full-rank update, float32": (W0, full),
        "full-rank update, bfloat16": (W0.bfloat16(), full.bfloat16()),
    }
    found = []
    for name, (base, tuned) in pairs.items():
        with tempfile.TemporaryDirectory(prefix="spectra-memory-") as folder:
            files = [Path(folder, f"{side}.safetensors") for side in ("base", "tuned")]
            for file, W in zip(files, (base, tuned), strict=True):
                save_file({"layers.0.q.weight": W.contiguous()}, file)
            text = subprocess.run(
                [sys.executable, "-c", MEASURE, *files], check=True, stdout=subprocess.PIPE, text=True
            )
        one = json.loads(text.stdout)
        times = (one["peak_mb"] - one["interpreter_mb"]) / (4 * n * n / 2**20)
        print(
            f"{name}: {times:.1f} times the {n}×{n} matrix above the interpreter's {one['interpreter_mb']:.0f} MB",
            flush=True,
        )
        found.append({"pair": name, "matrices": times, "interpreter_mb": one["interpreter_mb"]})
    return found
