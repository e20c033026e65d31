"""`spectra forgetting`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import spectra

from .exits import UNUSABLE, say
from .options import SEED, deliver_study, device, output, resolve_format, text_options
from .progress import progress


@click.command("forgetting")
@click.argument("base")
@click.argument("tuned", nargs=-1, required=True)
@text_options
@device
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of --text self.")
@output
def command(
    base: str,
    tuned: tuple[str, ...],
    text: str | None,
    format_: str | None,
    output: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """How much the loss of TUNED on general text rose over that of the untouched BASE.

    \b
      spectra forgetting llama-dir/ my-lora-adapter/ --text general.txt
      spectra forgetting llama-dir/ run-1/ run-2/ --text self
      spectra forgetting sentence-encoder-dir/ tuned/ --text general.txt --objective contrastive
    """
    if text is None:
        raise click.UsageError("name a --text: a file, a data set, or self")
    chosen = resolve_format(format_, output)
    with progress("measuring", quiet=quiet) as report:
        study = spectra.forgetting(base, list(tuned), text, progress=report, **options)
    deliver_study(study, chosen, output)
    if failed := [reason for reason in study.table["reason"] if reason]:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        say(f"error: {failed[0]}{others}")
        sys.exit(UNUSABLE)
