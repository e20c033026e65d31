"""`spectra intervene`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

import spectra

from .options import SEED, deliver_study, detection, device, output, resolve_format, text_options
from .progress import progress


@click.command("intervene")
@click.argument("base")
@click.argument("tuned")
@click.option(
    "--lambda",
    "lambdas",
    multiple=True,
    type=float,
    default=[0.0, 0.3, 0.5, 0.7, 0.9],
    show_default=True,
    help="Scale of the intruders, repeatable: 0 removes, 1 (always measured) changes nothing, above 1 strengthens.",
)
@click.option(
    "--which",
    default="top",
    show_default=True,
    type=click.Choice(["top", "all"]),
    help="The highest-ranked intruder of each matrix (the paper's), or all of them.",
)
@detection
@text_options
@click.option("--task", help="Where to measure accuracy: all of a file. Default: as the run directory did.")
@device
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the random control.")
@output
def command(
    base: str,
    tuned: str,
    lambdas: tuple[float, ...],
    top: int,
    format_: str | None,
    output: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Scale the intruder dimensions of TUNED, and measure what it buys and what it costs.

    Always with three controls: the neighbouring non-intruder scaled alike, a random direction of equal energy, and the
    whole update brought to the same size (which grows where an intruder held part of the base). "over intruder" is how
    much more a point forgets than the intruders scaled alike, with the standard error of that difference.

    \b
      spectra intervene bert-dir/ runs/lora-1 --text general.txt --objective contrastive
      spectra intervene llama-dir/ adapter/ --lambda 0 --lambda 0.7 --which all --text self
    """
    chosen = resolve_format(format_, output)
    if not all(math.isfinite(factor) for factor in lambdas):
        raise click.UsageError("--lambda takes finite numbers")
    with progress("intervening", quiet=quiet) as report:
        study = spectra.intervene(base, tuned, lambdas, k=top, progress=report, **options)
    deliver_study(study, chosen, output)
