"""`spectra compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import spectra
from spectra.origins import says_it_was_tuned_from

from .exits import GATE, UNUSABLE, say
from .options import COSINE, deliver, output, resolve_format, selection
from .progress import progress
from .tables import comparison_text


@click.command("compare")
@click.argument("base")
@click.argument("tuned", nargs=-1, required=True)
@click.option(
    "-k", "--top", default=10, show_default=True, type=click.IntRange(1), help="Leading singular vectors to examine."
)
@click.option(
    "-e",
    "--epsilon",
    default=[0.5],
    show_default=True,
    multiple=True,
    type=COSINE,
    help="Cosine below which a vector is an intruder; repeatable, the first one is the verdict's.",
)
@click.option(
    "--side",
    default="left",
    show_default=True,
    type=click.Choice(["left", "right", "both"]),
    help="Singular vectors of the output, the input, or both.",
)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "exact", "certified"]),
    help="exact: two full SVDs a matrix. certified: the same verdicts from bounds. auto: the faster.",
)
@click.option(
    "--ranks",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "estimated"]),
    help="Effective rank of a full-rank update: from its singular values, or estimated with its standard error.",
)
@selection
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, …")
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float64"]),
    help="Precision of the computation.",
)
@click.option(
    "--fail-over",
    type=click.IntRange(0),
    metavar="N",
    help="Exit 1 when a TUNED has more than N intruders; of both sides, on either.",
)
@output
def command(
    base: str,
    tuned: tuple[str, ...],
    top: int,
    fail_over: int | None,
    format_: str | None,
    output: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Compare TUNED checkpoints with the BASE they were tuned from.

    Each is a .safetensors, .pt, .pth or .bin file, a transformers or PEFT LoRA directory, or a hub id
    (org/name@revision).

    \b
      spectra compare base.pt tuned.pt
      spectra compare base/ run-1/ run-2/ run-3/ -o result.json
      spectra compare base/ adapter/ --fail-over 0        # in CI
      spectra compare base/ tuned/ -e 0.5 -e 0.3 -e 0.8
      spectra compare base/ tuned/ --include 'layers\\.0\\.' -k 50
    """
    format_ = resolve_format(format_, output)
    with progress("comparing", quiet=quiet) as report:
        results = spectra.compare(base, list(tuned), k=top, progress=report, **options)
    if format_ == "table":
        content = comparison_text(results, to_file=output is not None).encode(errors="replace")
    else:
        from spectra.results import WRITERS

        content = WRITERS[format_](results)
    deliver(content, output)
    for other in tuned:
        if says_it_was_tuned_from(base, other):
            say(f"hint: {base} says that it was tuned from {other}; are BASE and TUNED swapped?")
    failed = [r for r in results if r.failed]
    for result in failed[:5]:
        say(f"error: {result.failed}")
    if len(failed) > 5:
        say(f"error: {len(failed) - 5} more were not compared either, see above")
    compared = [r for r in results if not r.failed]
    problems = [
        (r.tuned, row.name, row.reason)
        for r in compared
        for row in r.skipped[r.skipped["problem"]].itertuples(index=False)
    ]
    over = [r for r in compared if fail_over is not None and r.most_intruders > fail_over]
    if problems:
        source, name, reason = problems[0]
        others = f" (and {len(problems) - 1} more, see the skipped ones)" if len(problems) > 1 else ""
        say(f"error: {source}: {name} was not compared, as {reason}{others}; mend it or leave it out with --exclude")
    for result in over:
        say(f"{result.tuned}: {result.most_intruders} intruder dimensions, more than {fail_over}")
    if failed or problems:  # what was not measured passes no gate, nor fails it
        sys.exit(UNUSABLE)
    if over:
        sys.exit(GATE)
