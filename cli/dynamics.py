"""`spectra dynamics`."""

from __future__ import annotations

from pathlib import Path

import click

import spectra

from .options import COSINE, deliver_study, device, output, resolve_format
from .progress import progress


@click.command("dynamics")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-k", "--top", default=10, show_default=True, type=click.IntRange(1), help="Leading singular vectors examined."
)
@click.option(
    "-e",
    "--epsilon",
    multiple=True,
    default=[0.5, 0.8],
    show_default=True,
    type=COSINE,
    help="Cosine below which a vector is an intruder; repeatable.",
)
@device
@output
def command(
    run: Path, top: int, epsilon: tuple[float, ...], device: str, format_: str | None, output: Path | None, quiet: bool
) -> None:
    """When in a run intruders appear: each of its checkpoints against the base it began from.

    \b
      spectra train --base bert-dir/ --task sst2.jsonl --checkpoints 8 -o runs/lora-8
      spectra dynamics runs/lora-8 -o dynamics.json
      spectra plot dynamics dynamics.json -o dynamics.svg
    """
    chosen = resolve_format(format_, output)
    with progress("comparing", quiet=quiet) as report:
        study = spectra.dynamics(run, k=top, epsilon=epsilon, device=device, progress=report)
    deliver_study(study, chosen, output)
