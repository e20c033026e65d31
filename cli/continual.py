"""`spectra continual`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import spectra

from .options import deliver_study, detection, device, given, output, resolve_format, text_options
from .progress import progress
from .tables import plain_text


@click.command("continual")
@click.argument("config", type=click.Path(path_type=Path))
@detection
@text_options
@device
@click.option("--folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="For the stages.")
@output
def command(config: Path, folder: Path, format_: str | None, output: Path | None, quiet: bool, **options: Any) -> None:
    """Tune on one task after the other, merging after each, and measure all of them after every stage.

    CONFIG is YAML or JSON: the fields of a recipe, and `tasks`, a list of tasks (or of mappings with `task` and other
    fields). Stages that are finished in the folder are not done again.

    \b
      spectra continual six-tasks.yaml --folder runs/six -o six.json
    """
    chosen = resolve_format(format_, output)
    fields, own = spectra.load_grid(config)
    if isinstance(own.get("epsilon"), list) or "method_of_comparison" in own:
        raise click.UsageError(f"{config}: continual takes one epsilon, and always the method auto")
    from spectra.studies.grid import OPTIONS

    asked = {("k" if name == "top" else name): value for name, value in given().items()}
    own |= {name: value for name, value in asked.items() if name in OPTIONS}
    tasks = fields.pop("tasks", None)
    if not isinstance(tasks, list) or not tasks:
        raise click.UsageError(f"{config}: needs `tasks`, a list")
    recipe = spectra.Recipe.from_dict({"task": "", **fields})
    with progress("continual", quiet=quiet) as report:
        study = spectra.continual(recipe, tasks, folder, progress=report, **own)
    deliver_study(study, chosen, output)
    if chosen == "table" and output is None:
        click.echo()
        click.echo(plain_text(spectra.transfer(study.table)), nl=False)
