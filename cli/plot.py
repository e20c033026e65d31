"""`spectra plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import spectra

_FORMATS = (".svg", ".png", ".pdf")
_KINDS = {
    "similarity": "similarity of leading singular vectors, intruders outlined (Fig. 1-3)",
    "spectrum": "leading singular values before and after",
    "map": "intruders per layer and module",
    "epsilon": "number of intruders against ε (Fig. 4)",
    "k": "number of intruders against k (Fig. 15)",
    "sweep": "a sweep: intruders against rank, rate, …",
    "correlation": "a sweep: forgetting against intruders",
    "forgetting": "rise of the loss over the base",
    "intervention": "forgetting against λ, with the controls",
    "continual": "accuracy of each task after each stage",
    "dynamics": "intruders along a run (Fig. 5)",
}


@click.command("plot", epilog="Kinds:\n\n\b\n" + "\n".join(f"  {kind:<14}{what}" for kind, what in _KINDS.items()))
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="SVG, PNG or PDF, by its suffix.",
)
@click.option("--matrix", help="For similarity and spectrum: the matrix, or part of its name. Default: the worst.")
def command(kind: str, results: tuple[Path, ...], output: Path, matrix: str | None) -> None:
    """Draw KIND from saved RESULTS: of spectra compare, or of a study (sweep, forgetting, intervene, continual).

    \b
      spectra compare base/ tuned/ -o result.json
      spectra plot map result.json -o map.svg
      spectra plot similarity result.json --matrix 3.attention.self.query -o fig3.png
      spectra plot epsilon full.json lora.json -o fig4.pdf
    """
    if output.suffix not in _FORMATS:
        raise click.UsageError(f"{output}: a figure is saved as one of {', '.join(_FORMATS)}")
    comparisons, studies = spectra.read_saved(results)
    from spectra.files import whole_file
    from spectra.plots import PLOTS, STUDY_PLOTS, plot_correlation

    if kind not in PLOTS:
        wanted = "sweep" if kind == "correlation" else kind
        if len(studies) != 1 or studies[0].kind != wanted or comparisons or matrix:
            raise click.UsageError(f"{kind} draws one saved study of kind {wanted}")
        ax: Any = plot_correlation(studies[0]) if kind == "correlation" else STUDY_PLOTS[kind](studies[0])
        with whole_file(output) as temporary:
            ax.figure.savefig(temporary, dpi=200)
        return
    if studies:
        raise click.UsageError(f"{kind} draws results of spectra compare, not a {studies[0].kind}")
    draw, of_one_matrix = PLOTS[kind]
    if matrix and not of_one_matrix:
        raise click.UsageError(f"{kind} draws all matrices; --matrix is for similarity and spectrum")
    if of_one_matrix or kind == "map":
        if len(comparisons) != 1:
            raise click.UsageError(f"{kind} draws one comparison, and {len(comparisons)} were given")
        ax = draw(comparisons[0], matrix) if of_one_matrix else draw(comparisons[0])
    else:
        ax = draw(comparisons)
    with whole_file(output) as temporary:
        ax.figure.savefig(temporary, dpi=200)
