"""`make bench`: ratios against named peers, in one run on this machine, verdicts checked to be the same.

Peer and ours run in turn, several rounds; what is reported is the median ratio and its range. Ours is the whole of
`spectra.compare`, from the open checkpoints to the table, with nothing cached.

    python -m benchmarks              every row of the table, about ten minutes on two cores
    python -m benchmarks --quick      only those below 1,000 rows
    python -m benchmarks growth       time against size, and a figure
    python -m benchmarks memory       peak memory of one pair of files
    python -m benchmarks streamed     a checkpoint of a 7-billion-parameter model's shapes from disk
    python -m benchmarks agreement BASE...  certified verdicts beside exact ones, on models tuned in every way
    python -m benchmarks table        what was saved of these, as in BENCHMARKS.md
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["SPECTRA_CACHE"] = tempfile.mkdtemp(prefix="spectra-bench-")
os.environ["SPECTRA_CACHE_LIMIT"] = "0"

import torch

import spectra

from .matrices import State, gaussian, lora, pretrained, roberta
from .peers import Stack, paper, peft_reduction, with_lora

RESULTS = Path("benchmarks/results.json")


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds are medians."""

    work: str
    peer: str
    goal: float | None
    ratio: float
    ratio_min: float
    ratio_max: float
    peer_seconds: float
    seconds: float
    rounds: int

    def __str__(self) -> str:
        goal = f"goal {self.goal:g}×" if self.goal else ""
        spread = f"{self.ratio_min:.1f} to {self.ratio_max:.1f}"
        return (
            f"{self.work:<62} {self.ratio:6.1f}× ({spread}) {goal:<11} {self.peer_seconds:.3g} s → {self.seconds:.3g} s"
        )


def measured(
    work: str,
    theirs: Callable[[], list[int]],
    ours: Callable[[], list[int]],
    *,
    peer: str = "paper",
    goal: float | None = None,
    rounds: int = 5,
    each: Callable[[float], float] = lambda seconds: seconds,
) -> Row:
    """Time both in turn; `each` turns our seconds into those the peer's are divided by."""
    ours()  # the first call imports and warms up; of the peer, only the first of many rounds is slower
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        expected = theirs()
        between = time.perf_counter()
        found = ours()
        times.append((between - started, each(time.perf_counter() - between)))
        assert found == expected, f"{work}: {found} intruders, the peer finds {expected}"
    ratios = sorted(theirs / ours for theirs, ours in times)
    medians = [statistics.median(column) for column in (ratios, *zip(*times, strict=True))]
    return Row(work, peer, goal, medians[0], ratios[0], ratios[-1], medians[1], medians[2], rounds)


def counts(base: State, tuned: list[State], **options: str) -> list[int]:
    """Ours."""
    return [result.num_intruders for result in spectra.compare(base, tuned, **options)]


def rows(quick: bool) -> Iterator[Row]:
    """Every row of the table."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(768, 7, 15), (4096, 2, 30)]
    for n, rounds, goal in sizes[: 1 if quick else 2]:
        for kind in (pretrained, gaussian):
            W0 = kind(n, n, generator)
            base, tuned = {"w.weight": W0}, [{"w.weight": W0 + lora(W0, 8, generator).dense()} for _ in range(5)]
            wanted = goal if kind is pretrained else None
            name = f"{n}×{n} {kind.__name__}"
            yield measured(
                f"one {name} pair, cold",
                lambda base=base, tuned=tuned: paper(base, tuned[:1]),
                lambda base=base, tuned=tuned: counts(base, tuned[:1]),
                goal=wanted,
                rounds=rounds,
            )
            if kind is gaussian:
                continue
            first = statistics.median(timed(lambda base=base, tuned=tuned: counts(base, tuned[:1])) for _ in range(3))
            yield measured(
                f"each further checkpoint of one {name} base",
                lambda base=base, tuned=tuned: paper(base, tuned[4:]),
                lambda base=base, tuned=tuned: counts(base, tuned)[4:],
                goal=100,
                rounds=max(2, rounds // 2),
                each=lambda seconds, first=first: max(1e-9, seconds - first) / 4,
            )
        W0 = pretrained(n, n, generator)
        base, many = {"w.weight": W0}, max(10, n // 80)
        tuned = [{"w.weight": W0 + lora(W0, 8, generator).dense()} for _ in range(4)] * (many // 4)
        yield measured(
            f"each of {len(tuned)} checkpoints of one {n}×{n} base, its one SVD shared out",
            lambda base=base, tuned=tuned: paper(base, tuned[-1:]),
            lambda base=base, tuned=tuned: counts(base, tuned)[-1:],
            rounds=2,
            each=lambda seconds, tuned=tuned: seconds / len(tuned),
        )
    if torch.cuda.is_available():
        W0 = pretrained(4096, 4096, generator)
        on_gpu = {"w.weight": W0.cuda()}, [{"w.weight": (W0 + lora(W0, 8, generator).dense()).cuda()}]
        yield measured(
            "one 4096×4096 pretrained pair, CUDA", lambda: paper(*on_gpu), lambda: counts(*on_gpu, device="cuda")
        )
    base = dict(roberta(generator, 1 if quick else 12))
    tuned = [{name: W0 + lora(W0, 8, generator).dense() for name, W0 in base.items()}]
    yield measured(
        f"RoBERTa-base's shapes, {len(base)} matrices",
        lambda: paper(base, tuned),
        lambda: counts(base, tuned),
        goal=20,
        rounds=2,
    )
    model = Stack({f"layer{i}.weight": pretrained(768, 768, generator) for i in range(4)})
    adapted = with_lora(model, 8, generator)
    yield measured(
        "a live LoRA model, 4 layers of 768×768; ours finds, theirs also mends",
        lambda: [peft_reduction(adapted)],
        lambda: [spectra.compare(model, adapted).num_intruders],
        peer="peft.reduce_intruder_dimension",
        rounds=3,
    )
    W0 = pretrained(768, 768, generator)
    full = [{"w.weight": W0 + 0.02 * gaussian(768, 768, generator)}]
    for ranks in ("exact", "estimated"):
        yield measured(
            f"one 768×768 pair, full-rank update, ranks {ranks}",
            lambda: paper({"w.weight": W0}, full),
            lambda ranks=ranks: counts({"w.weight": W0}, full, ranks=ranks),
        )


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    found: dict[str, object] = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    found |= {"python": platform.python_version(), "processor": platform.machine(), "spectra": spectra.__version__}
    return found | ({"cuda": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def save(name: str, content: object) -> None:
    """Under its name in the results file, beside what other runs left there."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {"machine": machine(), name: content}, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run what is asked for."""
    if arguments[:1] == ["growth"]:
        from .growth import growth

        save("growth", growth())
    elif arguments[:1] == ["streamed"]:
        from .streamed import streamed

        save("streamed", streamed(layers=int(arguments[1]) if len(arguments) > 1 else 32))
    elif arguments[:1] == ["memory"]:
        from .memory import memory

        save("memory", memory())
    elif arguments[:1] == ["callback"]:
        from .callback import callback

        save("callback", callback())
    elif arguments[:1] == ["agreement"]:
        from .agreement import agreement

        save("agreement", agreement(arguments[1:]))
    elif arguments[:1] == ["table"]:
        from .table import table

        print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))
    else:
        found = []
        for row in rows(quick="--quick" in arguments):
            print(row, flush=True)
            found.append(asdict(row))
        save("rows", found)


if __name__ == "__main__":
    main(sys.argv[1:])
