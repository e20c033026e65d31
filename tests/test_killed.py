"""kill -9 at random moments, and at every write: the next run goes on, ends as it would have, and leaves nothing behind.

`SPECTRA_KILLS=50 pytest -m slow tests/test_killed.py` is the whole campaign. A process is forked for each run, so that
it dies at its work and not while it loads its libraries.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from cli import main
from spectra import cache
from tests.failing import WRITES, content, failing

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]
KILLS = int(os.environ.get("SPECTRA_KILLS", "2"))
IN_A_ROW = min(5, KILLS)  # so many kills before a run may end


@dataclass(frozen=True)
class Work:
    """What is killed: a command run in an empty folder, and what of it has to be the same."""

    arguments: tuple[object, ...]
    result: Callable[[Path], Any]
    files: dict[str, Any] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        folder.mkdir()
        for name, values in self.files.items():
            (folder / name).write_text(json.dumps(values))


def _run(work: Work, folder: Path, log: Path, *, at: int | None = None) -> int:
    """Start it in a process of its own; the process dies at its write of number `at`."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ["SPECTRA_CACHE"] = str(folder / "cache")
        with ExitStack() as stack:
            if at:
                stack.enter_context(failing(WRITES, at, None))
            main.main([str(one) for one in work.arguments], standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def _end(pid: int, log: Path) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"{code}: {log.read_text()}"


def _table(path: Path) -> str:
    return pd.read_parquet(path).drop(columns="seconds", errors="ignore").to_csv()


def _adapter(folder: Path) -> Any:
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    files = {name: data for name, data in content(folder / "run").items() if "safetensors" in name or "log" in name}
    return {name: value for name, value in metrics.items() if name not in ("seconds", "resumed")}, files


def _cached(folder: Path) -> list[str]:
    """The result, and that every entry is whole."""
    os.environ["SPECTRA_CACHE"] = str(folder / "cache")
    for entry, _ in cache._entries():
        m, n = map(int, entry.name.split("-")[0].split("x"))
        with cache.safe_open(entry, "pt") as file:
            found = cache.SVD(**{name: file.get_tensor(name) for name in ("U", "s", "Vh")}, driver="gesdd")
            assert file.metadata()["checksum"] == cache._checksum(entry, found)
            assert found.U.shape[0] == m
            assert found.Vh.shape[1] == n
    document = json.loads((folder / "result.json").read_text())
    return document["matrices"]  # type: ignore[no-any-return]


def _page(folder: Path) -> str:
    """But for its figures, whose inner names are drawn anew each time."""
    return re.sub('base64,[^"]*', "", (folder / "report.html").read_text())


@pytest.fixture(scope="module")
def works(pico: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Work]:
    torch.set_num_threads(1)
    text = pico["text"]
    short = ("--max-length", 16, "--lr", 0.05)
    fields = {"base": str(pico["mlm"]), "max_steps": 4, "batch_size": 4, "max_length": 16, "learning_rate": 0.05}
    on_text = {"text": str(text), "num_sequences": 4, "length": 12, "k": 3}
    grid = (
        fields | on_text | {"task": str(pico["labelled"]), "epsilon": [0.5, 0.9], "resume_points": 2, "checkpoints": 1}
    )
    grid |= {"variants": [{"method": "full"}, {"method": "lora", "rank": 1}]}
    lines = pico["labelled"].read_text().splitlines()
    root = tmp_path_factory.mktemp("works")
    tasks = []
    for number, part in enumerate((lines[:60], lines[60:])):
        tasks.append(str(root / f"task{number}.jsonl"))
        Path(tasks[-1]).write_text("\n".join(part))
    chain = fields | on_text | {"tasks": tasks, "rank": 1, "resume_points": 2}
    return {
        "train": Work(
            ("train", "--base", pico["bert"], "--task", pico["labelled"], "--rank", 2, "--max-steps", 12, "--checkpoints", 2,
             "--batch-size", 4, *short, "-o", "run"),
            _adapter,
        ),
        "sweep": Work(
            ("sweep", "grid.yaml", "-o", "swept", "-q"),
            lambda folder: (_table(folder / "swept" / "runs.parquet"), _table(folder / "swept" / "vectors.parquet")),
            {"grid.yaml": grid},
        ),
        "continual": Work(
            ("continual", "chain.yaml", "--folder", "stages", "-o", "c.json", "-q"),
            lambda folder: json.loads((folder / "c.json").read_text())["rows"],
            {"chain.yaml": chain},
        ),
        "compare": Work(
            ("compare", pico["bert"], pico["mlm"], "--method", "exact", "-o", "result.json", "-q"), _cached
        ),
    }  # fmt: skip


@pytest.fixture
def made(works: dict[str, Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Work]:
    """With what is kept of decompositions too, and a report of what the others make."""
    monkeypatch.setenv("SPECTRA_CACHE", "")
    monkeypatch.setattr(cache, "_LEAST_ROWS", 8)
    log = tmp_path / "log"
    for name in ("compare", "sweep"):
        works[name].prepare(tmp_path / name)
        _end(_run(works[name], tmp_path / name, log), log)
    saved = [tmp_path / "compare" / "result.json", tmp_path / "sweep" / "swept" / "runs.parquet"]
    report = Work(("report", *saved, "-o", "report.html"), _page)
    monkeypatch.setenv("SPECTRA_CACHE_LIMIT", "5e-6")  # each entry evicts the one before
    return {**works, "report": report, "cache": works["compare"]}


@pytest.mark.parametrize("name", ["report", "cache", "compare", "train", "sweep", "continual"])
def test_killed_at_random_moments_it_ends_where_it_would_have(
    name: str, made: dict[str, Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "cache":
        monkeypatch.delenv("SPECTRA_CACHE_LIMIT")
    work, log, rng = made[name], tmp_path / "log", random.Random(KILLS)
    work.prepare(tmp_path / "whole")
    started = time.monotonic()
    _end(_run(work, tmp_path / "whole", log), log)
    duration = time.monotonic() - started
    expected, names = work.result(tmp_path / "whole"), content(tmp_path / "whole").keys()
    kills = 0
    while kills < KILLS:
        work.prepare(tmp_path / "cut")
        for _ in range(IN_A_ROW):
            pid = _run(work, tmp_path / "cut", log)
            time.sleep(rng.uniform(0, duration))
            os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code in (0, -signal.SIGKILL), log.read_text()
            kills += code != 0
        _end(_run(work, tmp_path / "cut", log), log)
        assert work.result(tmp_path / "cut") == expected
        assert content(tmp_path / "cut").keys() == names
        shutil.rmtree(tmp_path / "cut")
    print(f"{name}: {kills} kills within {duration:.1f} s each")  # noqa: T201


@pytest.mark.parametrize("name", ["report", "compare", "train", "sweep", "continual"])
def test_killed_at_each_write_it_ends_where_it_would_have(name: str, made: dict[str, Work], tmp_path: Path) -> None:
    os.environ.pop("SPECTRA_CACHE_LIMIT")
    work, log, step = made[name], tmp_path / "log", max(1, 50 // KILLS)
    work.prepare(tmp_path / "whole")
    _end(_run(work, tmp_path / "whole", log), log)
    expected, names = work.result(tmp_path / "whole"), content(tmp_path / "whole").keys()
    at = 1
    while True:
        work.prepare(tmp_path / "cut")
        code = os.waitstatus_to_exitcode(os.waitpid(_run(work, tmp_path / "cut", log, at=at), 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL, log.read_text()
        _end(_run(work, tmp_path / "cut", log), log)
        assert work.result(tmp_path / "cut") == expected, at
        assert content(tmp_path / "cut").keys() == names, at
        shutil.rmtree(tmp_path / "cut")
        at += step
    assert at > 1
    print(f"{name}: killed at each of {at - 1} writes")  # noqa: T201
