"""`spectra report`."""

from __future__ import annotations

from pathlib import Path

import click

import spectra


@click.command("report")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .html file to write."
)
@click.option("--title", default="spectra report", show_default=True, help="Of the page.")
def command(results: tuple[Path, ...], output: Path, title: str) -> None:
    """Make one self-contained HTML page of saved RESULTS: comparisons, and studies with their curves.

    \b
      spectra compare base/ tuned/ -o result.json
      spectra report result.json -o report.html
      spectra report result.json forgetting.json ranks/runs.parquet -o report.html
    """
    if output.suffix not in (".html", ".htm"):
        raise click.UsageError(f"{output}: a report is a .html file")
    comparisons, studies = spectra.read_saved(results)
    from spectra.files import whole_file

    page = spectra.report(comparisons, studies, title=title)
    with whole_file(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    click.echo(str(output))
