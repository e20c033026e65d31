"""`spectra sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import spectra

from .options import device, text_options
from .progress import progress
from .tables import study_text


@click.command("sweep")
@click.argument("arguments", nargs=-1, metavar="[CONFIG.yaml] | --existing BASE DIR...")
@click.option("--existing", is_flag=True, help="Only compare checkpoints that were trained elsewhere.")
@click.option("--base", help="A transformers directory or a hub id.")
@click.option("--task", help="As for spectra train.")
@click.option("--method", multiple=True, help="Repeatable, as are the next five.")
@click.option("--rank", multiple=True, type=int)
@click.option("--alpha", multiple=True, help="A number, or a rule: 2r (the default), r.")
@click.option("--lr", "learning_rate", multiple=True, type=float)
@click.option("--num-examples", multiple=True, type=int)
@click.option("--seed", multiple=True, type=int)
@click.option("--epochs", type=float)
@click.option("--max-steps", type=int)
@click.option("--max-length", type=int)
@click.option("-k", "--top", type=click.IntRange(1), help="Leading singular vectors to examine. Default: 10.")
@click.option("-e", "--epsilon", multiple=True, type=float, help="Repeatable. Default: 0.5 and 0.8.")
@text_options
@device
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder of the sweep."
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(
    arguments: tuple[str, ...],
    existing: bool,
    top: int | None,
    epsilon: tuple[float, ...],
    text: str | None,
    objective: str,
    num_sequences: int,
    length: int,
    device: str,
    output: Path,
    quiet: bool,
    **fields: Any,
) -> None:
    """Train a grid of recipes on one base, compare each with it, measure accuracy and forgetting; one table.

    Every listed value is combined with every other. What is finished in the folder is not done again, so a sweep that
    was cut off goes on when the command is repeated. Writes runs.parquet and vectors.parquet there.

    \b
      spectra sweep --base bert-dir/ --task sst2.jsonl --method full --method lora \\
          --rank 1 --rank 8 --rank 64 --seed 0 --seed 1 --seed 2 -o ranks/
      spectra sweep ranks.yaml -o ranks/     # recipe fields with lists; variants: for unlike grids
      spectra sweep --existing bert-dir/ run-1/ run-2/ -o compared/
    """
    given = {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items() if v not in (None, ())}
    given |= {"alpha": [float(a) if _is_number(a) else a for a in given["alpha"]]} if "alpha" in given else {}
    detection: dict[str, Any] = {"k": top, "epsilon": list(epsilon) or None, "device": device}
    detection = {name: value for name, value in detection.items() if value is not None}
    with progress("sweep", quiet=quiet) as report:
        if existing:
            if len(arguments) < 2 or given or text:
                raise click.UsageError("--existing takes BASE and the checkpoints to compare, and trains nothing")
            study = spectra.sweep_existing(arguments[0], arguments[1:], output, progress=report, **detection)
        else:
            if len(arguments) > 1:
                raise click.UsageError("one CONFIG at a time; for checkpoints trained elsewhere add --existing")
            known, options = spectra.load_grid(arguments[0]) if arguments else ({}, {})
            on_text = {"text": text, "objective": objective, "num_sequences": num_sequences, "length": length}
            options = {**on_text, **options, **({"text": text} if text else {}), **detection}
            study = spectra.sweep({**known, **given}, output, progress=report, **options)
    click.echo(study_text(study), nl=False)
    failed = study.table[study.table["status"] == "failed"]
    click.echo(
        f"\n{len(study.table)} runs, {len(failed)} failed; {output / 'runs.parquet'}, {output / 'vectors.parquet'}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
