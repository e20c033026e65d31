"""`spectra sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import spectra

from .options import COSINE, SEED, device, given, text_options
from .progress import progress
from .tables import study_text


@click.command("sweep")
@click.argument("arguments", nargs=-1, metavar="[CONFIG.yaml] | --existing BASE DIR...")
@click.option("--existing", is_flag=True, help="Only compare checkpoints that were trained elsewhere.")
@click.option("--base", help="A transformers directory or a hub id.")
@click.option("--task", help="As for spectra train.")
@click.option("--eval", help="Where to measure accuracy. Default: a tenth held out.")
@click.option("--method", multiple=True, help="full, lora, rslora, dora, lora-fa. Repeatable, as all down to --seed.")
@click.option("--rank", multiple=True, type=int, help="Of LoRA. Default: 8.")
@click.option("--alpha", multiple=True, help="A number, or a rule: 2r (the default), r.")
@click.option("--lr", "learning_rate", multiple=True, type=float, help="Default: the paper's rule.")
@click.option("--num-examples", multiple=True, type=int, help="Train on so many only.")
@click.option("--modules", multiple=True, metavar="REGEX", help="Linear modules to train. Default: all.")
@click.option("--max-steps", multiple=True, type=int, help="Stop earlier than the epochs.")
@click.option("--seed", multiple=True, type=SEED, help="Three or more give error bars. Default: 0.")
@click.option("--epochs", type=float, help="Default: 5.")
@click.option("--batch-size", type=int, help="Default: 16.")
@click.option("--max-length", type=int, help="Tokens a sequence in training. Default: 128.")
@click.option("-k", "--top", type=click.IntRange(1), help="Leading singular vectors to examine. Default: 10.")
@click.option(
    "-e",
    "--epsilon",
    multiple=True,
    type=COSINE,
    help="Cosine below which a vector is an intruder; repeatable. Default: 0.5 and 0.8.",
)
@text_options
@device
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder of the sweep."
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(
    arguments: tuple[str, ...],
    existing: bool,
    output: Path,
    quiet: bool,
    **fields: Any,
) -> None:
    """Train a grid of recipes on one base, compare each with it, measure accuracy and forgetting; one table.

    Every listed value is combined with every other. What is finished in the folder is not done again, so a sweep that
    was cut off goes on when the command is repeated. Writes runs.parquet and vectors.parquet there. Exit code 1: a run
    failed; with --existing 2: a checkpoint cannot be used.

    \b
      spectra sweep --base bert-dir/ --task sst2.jsonl --method full --method lora \\
          --rank 1 --rank 8 --rank 64 --seed 0 --seed 1 --seed 2 -o ranks/
      spectra sweep ranks.yaml -o ranks/     # recipe fields with lists; variants: for unlike grids
      spectra sweep --existing bert-dir/ run-1/ run-2/ -o compared/
    """
    from spectra.studies.grid import OPTIONS

    asked: dict[str, Any] = {("k" if name == "top" else name): value for name, value in given().items()}
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}
    options: dict[str, Any] = {name: value for name, value in asked.items() if name in OPTIONS}
    chosen = {name: value for name, value in asked.items() if name in fields and name not in OPTIONS}
    if "alpha" in chosen:
        chosen["alpha"] = [float(alpha) if _is_number(alpha) else alpha for alpha in chosen["alpha"]]
    with progress("sweep", quiet=quiet) as report:
        if existing:
            if len(arguments) < 2:
                raise click.UsageError("--existing takes BASE and the checkpoints to compare")
            if other := sorted({*chosen, *options} - {"k", "epsilon", "device"}):
                names = {"learning_rate": "lr", "num_sequences": "sequences"}
                shown = ", ".join("--" + names.get(name, name).replace("_", "-") for name in other)
                raise click.UsageError(f"--existing only compares: it takes -k, -e and --device, and not {shown}")
            study = spectra.sweep_existing(arguments[0], arguments[1:], output, progress=report, **options)
        else:
            if len(arguments) > 1:
                raise click.UsageError("one CONFIG at a time; for checkpoints trained elsewhere add --existing")
            known, own = spectra.load_grid(arguments[0]) if arguments else ({}, {})
            inside = {name for variant in _variants(known) for name in variant}
            if clash := sorted(inside & set(chosen)):
                raise click.UsageError(
                    f"the variants of {arguments[0]} set {', '.join(clash)} themselves; change them there"
                )
            study = spectra.sweep({**known, **chosen}, output, progress=report, **{**own, **options})
    click.echo(study_text(study), nl=False)
    failed = study.table[study.table["status"] == "failed"]
    done = f"{len(study.table)} run{'s' if len(study.table) > 1 else ''}, {len(failed)} failed"
    click.echo(f"\n{done}; {output / 'runs.parquet'}, {output / 'vectors.parquet'}")
    if len(failed):
        sys.exit(2 if existing else 1)  # a checkpoint that cannot be used is unusable input


def _variants(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a grid that are as they must be; of the others the grid says what is wrong."""
    variants = fields.get("variants")
    return [variant for variant in variants if isinstance(variant, dict)] if isinstance(variants, list) else []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
