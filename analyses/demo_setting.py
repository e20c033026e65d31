"""Which learning rate should the demo give each method?

Question: is there a setting, the same data and steps for all, in which low-rank LoRA plants intruder dimensions and
full tuning at equal accuracy does not?
Method: a grid of learning rates per method and rank, one seed; the rate with the best accuracy is picked, without
looking at intruders; the picked ones are run with two more seeds.
Verdict: analyses/demo_setting.md, which this script writes. About 30 minutes on two cores.

    python analyses/demo_setting.py [--runs DIR]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import spectra
from spectra.demo.setting import base_directory, recipe_for

GRID = {
    ("full", 0): (2e-5, 5e-5, 1e-4, 2e-4),
    ("lora", 1): (1e-3, 2e-3, 5e-3, 1e-2),
    ("lora", 8): (5e-4, 1e-3, 2e-3, 4e-3),
    ("lora", 64): (1e-4, 3e-4, 6e-4, 1e-3),
}
MORE_SEEDS = (1, 2)


def measured(runs: Path, method: str, rank: int, rate: float, seed: int) -> tuple[float, int, int]:
    """Accuracy, and intruders at 0.5 and 0.8."""
    name = f"{method}-r{rank}-{rate:g}-s{seed}"
    run = spectra.train(recipe_for(method, rank, rate, seed), runs / name)
    result = spectra.compare(base_directory(), run.path)
    found = run.metrics["accuracy"], result.count(0.5), result.count(0.8)
    print(f"{name}: accuracy {found[0]:.3f}, intruders {found[1]} at 0.5, {found[2]} at 0.8", file=sys.stderr, flush=True)
    return found


def spread(values: list[float], digits: int) -> str:
    """Mean ± sample standard deviation."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("demo-setting-runs"))
    runs = parser.parse_args().runs
    lines = ["# The demo's setting", "", "Written by `python analyses/demo_setting.py`; 1,500 reviews measured, k = 10, 36 matrices.", ""]
    lines += ["## The grid (seed 0)", "", "| method | rank | learning rate | accuracy | intruders at ε = 0.5 | at 0.8 |", "|---|--:|--:|--:|--:|--:|"]
    picked = {}
    for (method, rank), rates in GRID.items():
        found = {rate: measured(runs, method, rank, rate, 0) for rate in rates}
        picked[method, rank] = max(found, key=lambda rate: found[rate][0])
        for rate, (accuracy, half, most) in found.items():
            mark = " **picked**" if rate == picked[method, rank] else ""
            lines.append(f"| {method} | {rank or '–'} | {rate:g}{mark} | {accuracy:.3f} | {half} | {most} |")
    lines += ["", "## The picked rates, three seeds", "", "Mean ± sample standard deviation.", ""]
    lines += ["| method | rank | learning rate | accuracy | intruders at ε = 0.5 | each seed | at 0.8 |", "|---|--:|--:|--:|--:|--:|--:|"]
    for (method, rank), rate in picked.items():
        accuracy, half, most = zip(*(measured(runs, method, rank, rate, seed) for seed in (0, *MORE_SEEDS)), strict=True)
        lines.append(
            f"| {method} | {rank or '–'} | {rate:g} | {spread(list(accuracy), 3)} | {spread(list(half), 1)} "
            f"| {', '.join(map(str, half))} | {spread(list(most), 1)} |"
        )
    text = "\n".join(lines) + "\n"
    (Path(__file__).parent / "demo_setting.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
