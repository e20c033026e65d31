"""`spectra inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from spectra.escaping import csv_bytes, markdown

from .exits import say
from .options import deliver, output, resolve_format
from .tables import matrices_text, skipped_text


@click.command("inspect")
@click.argument("checkpoint")
@output
def command(checkpoint: str, format_: str | None, output: Path | None, quiet: bool) -> None:
    """List the matrices of CHECKPOINT as they would be compared, without reading its weights.

    \b
      spectra inspect model.safetensors
      spectra inspect my-lora-adapter/ --format json
    """
    import pandas as pd

    from spectra.weights import list_matrices, open_checkpoint

    format_ = resolve_format(format_, output)
    opened = open_checkpoint(checkpoint)
    rows, skipped = list_matrices(opened)
    left_out = pd.DataFrame(skipped, columns=["name", "reason", "problem"])
    if format_ == "table":
        content = matrices_text(opened.label, opened.kind, rows, left_out, to_file=output is not None).encode()
    elif format_ == "json":
        document = {
            "checkpoint": opened.label,
            "kind": opened.kind,
            "matrices": rows,
            "skipped": left_out.to_dict("records"),
        }
        content = (json.dumps(document, indent=1) + "\n").encode()
    else:
        frame = pd.DataFrame(rows)
        if format_ == "parquet":
            content = frame.to_parquet(index=False)
        elif format_ == "csv":
            content = csv_bytes(frame)
        else:
            header = "| " + " | ".join(frame) + " |\n|" + "---|" * frame.shape[1] + "\n"
            body = "".join(
                "| " + " | ".join(markdown(str(cell)) for cell in row) + " |\n" for row in frame.itertuples(index=False)
            )
            content = (header + body).encode()
    if format_ not in ("table", "json") and not quiet:  # those hold it themselves
        say(skipped_text(left_out))
    deliver(content, output)
