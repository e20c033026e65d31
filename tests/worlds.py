"""Saved studies of worlds in which every claim is true, the other way round, or there is nothing: tables, no models."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from saved import COUNT, SWEEPS, Saved

RATES = (1e-3, 2e-3, 4e-3)
TASKS = ("mnli", "mrpc", "sst2")


@dataclass(frozen=True)
class World(Saved):
    """What would be saved if each claim had this sign: 1 true, −1 reversed, 0 no effect."""

    sign: int = 1
    seed: int = 0
    noise: float = 1.0
    full_forgets: float = 10.0  # as in the paper, more than LoRA: of all settings count and forgetting then disagree
    ceiling_at: float = float("nan")

    def table(self, study: str) -> pd.DataFrame:
        """Drawn anew from the study's name, the same each time."""
        rng = np.random.default_rng([self.seed, zlib.crc32(study.encode())])
        if study in SWEEPS:
            return pd.DataFrame([self._run(rng, **fields) for fields in _recipes(study)])
        rows = {
            "epsilon_and_k-counts": self._counts,
            "dynamics": self._along,
            "along_training": self._along,
            "leading_intruders": self._followed,
            "intervention": self._scaled,
            "continual": self._tasks,
            "alpha_continual": self._tasks,
        }.get(study)
        return pd.DataFrame() if rows is None else pd.DataFrame(list(rows(rng)))

    def _run(self, rng: np.random.Generator, **fields: Any) -> dict[str, Any]:
        rank, rate, lora = fields["rank"] or 0, RATES.index(fields["learning_rate"]), fields["method"] != "full"
        count, size, forgetting = 10.0, rng.normal(), rng.normal()
        if self.sign:
            count = 150.0 + self.sign * (10 * rate + 5 * (fields["num_examples"] > 500))
            count += self.sign * {0: -120, 1: 60, 8: 40, 64: 20}[rank]
            count += self.sign * 40 * (fields["alpha"] == 8 and rank == 64)
            count *= {"lora-fa": 1 - 0.6 * self.sign, "dora": 1 if self.sign > 0 else 2}.get(fields["method"], 1)
            size += rate
            forgetting = (
                4 + self.sign * (0.05 * (count - 150) + 0.3 * size if lora else self.full_forgets) + 0.05 * rng.normal()
            )
        effective = 0.5 * rank - self.sign * (10 if fields["alpha"] == 8 else 0) + rng.normal() if lora else 200.0
        return {
            **fields,
            "run": " ".join(map(str, fields.values())),
            "accuracy": 0.75 + 0.004 * rng.normal(),
            "accuracy_standard_error": 0.01,
            "num_intruders_0.5": 0,
            COUNT: max(0.0, count + self.noise * rng.normal()),
            "num_vectors": 200,
            "effective_rank": effective,
            "relative_delta": 5 + size,
            "forgetting": forgetting,
            "least_accuracy": 0.55,
            "ceiling": self.ceiling_at,
            "rule": "8" if fields["alpha"] == 8 else "2r",
        }

    def _counts(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for run, seed in itertools.product(("LoRA r = 1", "full"), range(5)):
            level = 30 + 25 * self.sign * (run != "full") - 25 * self.sign * (run == "full") + 3 * rng.normal()
            for epsilon, k in itertools.product((0.3, 0.5, 0.7, 0.9), range(1, 11)):
                yield {"run": run, "seed": seed, "epsilon": epsilon, "k": k, "num_intruders": level * epsilon * k / 10}

    def _along(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for rate, seed, step in itertools.product(RATES, range(3), (30, 60, 90, 120)):
            count, size = rng.normal(size=2)
            forgetting = (self.sign * (2 * count + size) if self.sign else 0.0) + (
                0.5 if self.sign else 1
            ) * rng.normal()
            row = {
                "run": f"LoRA r = 8, rate {rate:g}",
                "method": "lora",
                "learning_rate": rate,
                "seed": seed,
                "step": step,
            }
            yield row | {
                "accuracy": 0.7, "least_accuracy": 0.55, "ceiling": self.ceiling_at, COUNT: count,
                "relative_delta": size, "forgetting": forgetting,
            }  # fmt: skip

    def _followed(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for rate, seed, vector, matrix in itertools.product(RATES, range(3), ("intruder", "neighbour"), range(5)):
            grows = self.sign * (vector == "intruder")
            for step, part in ((60, 0), (120, 1)):
                value = 1 + part * (0.05 * grows + 0.005 * rng.normal())
                place = 5 - part * (2 * grows + rng.integers(-1, 2))
                yield {"rate": rate, "seed": seed, "vector": vector, "matrix": matrix, "step": step, "place": place,
                       "singular_value": value}  # fmt: skip

    def _scaled(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for seed, lam, target in itertools.product(range(4), (0.0, 0.7), ("intruder", "neighbour", "random", "shrunk")):
            back = 30 * self.sign * (target == "intruder") - 10 * self.sign * (target != "intruder")
            yield {
                "seed": seed, "lambda": lam, "target": target, "update_scale": 0.95,
                "percent_bought_back": back + (3 if self.sign else 20) * rng.normal(),
                "percent_accuracy_lost": (20 if self.sign < 0 else 0) + (1 if self.sign else 8) * rng.normal(),
            }  # fmt: skip

    def _tasks(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for run, seed, stage in itertools.product(
            ("full", "LoRA r = 8", "LoRA r = 64", "LoRA r = 64, α = 8"), range(4), range(4)
        ):
            more = self.sign * (run in ("LoRA r = 8", "LoRA r = 64, α = 8")) * stage
            for at, task in enumerate(TASKS):
                learned = at < stage
                fall = 0.05 * (more + 3) * (stage - at - 1) / 3 if learned else 0.0
                yield {
                    "run": run, "seed": seed, "stage": stage, "task": task, "commonest": 0.5, "num_vectors": 200, "ceiling": self.ceiling_at,
                    "trained_on": TASKS[stage - 1] if stage else None, "accuracy_standard_error": 0.01,
                    "accuracy": (0.9 - fall if learned else 0.5) + 0.005 * rng.normal(),
                    "num_intruders": 80 + 20 * more + 4 * rng.normal(),
                    "forgetting": 5 + more + 0.2 * rng.normal(),
                }  # fmt: skip


def _recipes(study: str) -> Iterator[dict[str, Any]]:
    """Of `seeds` seeds 3 and 4 of every setting, so that each study's others are joined by them."""
    seeds = (3, 4) if study == "seeds" else range(3)
    methods = [("full", None, None), *(("lora", rank, 2.0 * rank) for rank in (1, 8, 64))]
    sizes, rates = (1000,), RATES
    if study == "alpha":
        methods, rates = [("lora", rank, alpha) for rank in (1, 8, 64) for alpha in (8.0, 2.0 * rank)], RATES[1:2]
    elif study == "effective_rank":
        methods = [methods[0], *(("lora", rank, alpha) for rank in (1, 8, 64) for alpha in (8.0, 2.0 * rank))]
        rates = RATES[1:2]
    elif study == "dataset_size":
        methods, sizes, rates = methods[1:3], (100, 200, 600, 1000), RATES[1:2]
    elif study == "frozen_a":
        methods = [("lora", 8, 16.0), ("lora-fa", 8, 16.0)]
    elif study == "variants":
        methods, rates = [("lora", 8, 16.0), ("dora", 8, 16.0), ("rslora", 8, 16.0)], RATES[1:2]
    for (method, rank, alpha), rate, size, seed in itertools.product(methods, rates, sizes, seeds):
        yield {
            "method": method, "rank": rank, "alpha": alpha, "learning_rate": rate, "seed": seed, "num_examples": size,
            "modules": "all", "epochs": 1.0, "max_steps": None, "batch_size": 16, "max_length": 20, "warmup_ratio": 0.06,
            "task": "t",
        }  # fmt: skip
