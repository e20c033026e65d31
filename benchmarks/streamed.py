"""A checkpoint of a 7-billion-parameter model's shapes against a LoRA adapter on it, streamed from disk."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from .matrices import lora, pretrained, shuffled

LAYER = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (4096, 4096),
    "self_attn.v_proj": (4096, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (11008, 4096),
    "mlp.up_proj": (11008, 4096),
    "mlp.down_proj": (4096, 11008),
}
RANK = 16
MEASURE = """
import json, sys, time
import torch, spectra
from spectra import compare

def peak_mb():
    # Not getrusage, which starts from what the parent process had.
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

# Everything loaded, every buffer of the libraries made.
compare({"w.weight": torch.randn(400, 400)}, {"w.weight": torch.randn(400, 400)}, epsilon=[0.5, 0.1])
idle = peak_mb()
started = time.perf_counter()
result = spectra.compare(sys.argv[1], sys.argv[2])
print(json.dumps({
    "seconds": time.perf_counter() - started,
    "matrices": result.num_matrices,
    "intruders": result.num_intruders,
    "methods": result.matrices["method"].value_counts().to_dict(),
    "peak_mb": peak_mb(),
    "interpreter_mb": idle,
}))
"""


def streamed(layers: int) -> dict[str, object]:
    """Write both to a temporary folder, compare them in a fresh process, print and return what it took."""
    with tempfile.TemporaryDirectory(prefix="spectra-streamed-") as folder:
        base, adapter = Path(folder, "base"), Path(folder, "adapter")
        started = time.perf_counter()
        _write(base, adapter, layers)
        size = sum(file.stat().st_size for file in base.iterdir()) / 1e9
        print(
            f"{layers} layers, {size:.1f} GB in bfloat16, written in {time.perf_counter() - started:.0f} s", flush=True
        )
        output = subprocess.run(
            [sys.executable, "-c", MEASURE, base, adapter], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    found = json.loads(output) | {"layers": layers, "gigabytes": size, "largest_matrix_mb": 4 * 11008 * 4096 / 2**20}
    found["matrices_per_second"] = found["matrices"] / found["seconds"]
    print(json.dumps(found, indent=1))
    return found


def _write(base: Path, adapter: Path, layers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    firsts = {shape: pretrained(*shape, generator) for shape in set(LAYER.values())}
    base.mkdir()
    adapter.mkdir()
    weight_map, factors = {}, {}
    for i in range(layers):
        shard = {}
        for module, shape in LAYER.items():
            name = f"model.layers.{i}.{module}"
            W0 = shuffled(firsts[shape], generator)
            shard[f"{name}.weight"] = W0.bfloat16()
            # Weaker and stronger ones, as training would give.
            update = lora(firsts[shape], RANK, generator)
            strength = 2.0 ** (-(i % 4))
            factors[f"base_model.model.{name}.lora_B.weight"] = update.B * (update.scale * strength)
            factors[f"base_model.model.{name}.lora_A.weight"] = update.A
        file = f"model-{i + 1:05}-of-{layers:05}.safetensors"
        save_file(shard, base / file)
        weight_map |= dict.fromkeys(shard, file)
    (base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (base / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file(factors, adapter / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": sorted({n.split(".")[-1] for n in LAYER}),
    }
    (adapter / "adapter_config.json").write_text(json.dumps(config))
