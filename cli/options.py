"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource


class _Cosine(click.FloatRange):
    """In (0, 1]; a range alone lets NaN pass."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        found = super().convert(value, param, context)
        if found != found:
            self.fail("nan is not in the range 0<x<=1.", param, context)
        return found


COSINE = _Cosine(0, 1, min_open=True)
SEED = click.IntRange(0, 2**32 - 1)
F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "json", "csv", "parquet", "markdown")
_SUFFIXES = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".md": "markdown", ".txt": "table"}


def selection(command: F) -> F:
    """--include and --exclude."""
    command = click.option(
        "--exclude", multiple=True, metavar="REGEX", help="Leave out matrices whose name REGEX finds; repeatable."
    )(command)
    return click.option(
        "--include",
        multiple=True,
        metavar="REGEX",
        help="Take only matrices whose name REGEX finds; repeatable. Default: all but embeddings and heads.",
    )(command)


def output(command: F) -> F:
    """--format, --output and --quiet."""
    command = click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")(command)
    command = click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of to stdout."
    )(command)
    return click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        help="Default: by the suffix of --output, else table.",
    )(command)


def text_options(command: F) -> F:
    """--text and what else says how forgetting is measured."""
    command = click.option(
        "--length", default=128, show_default=True, type=click.IntRange(8), help="Tokens a sequence."
    )(command)
    command = click.option(
        "--sequences",
        "num_sequences",
        default=128,
        show_default=True,
        type=click.IntRange(2),
        help="Of the text; pairs of sentences for contrastive, in groups of 64.",
    )(command)
    command = click.option(
        "--objective",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "causal", "masked", "contrastive"]),
        help="The loss; auto takes what the base was pretrained for. contrastive is for sentence encoders.",
    )(command)
    return click.option(
        "--text",
        metavar="FILE",
        help="Where to measure forgetting: text, a data set, or self (the base's own writing).",
    )(command)


def detection(command: F) -> F:
    """-k and one -e."""
    command = click.option(
        "-e",
        "--epsilon",
        default=0.5,
        show_default=True,
        type=COSINE,
        help="Cosine below which a vector is an intruder.",
    )(command)
    return click.option(
        "-k",
        "--top",
        default=10,
        show_default=True,
        type=click.IntRange(1),
        help="Leading singular vectors to examine.",
    )(command)


def device(command: F) -> F:
    """--device."""
    return click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, …")(
        command
    )


def given() -> dict[str, Any]:
    """The options that stand on the command line, as opposed to defaults: these go before those of a file."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def deliver_study(study: Any, format_: str, path: Path | None) -> None:
    """A study in the format asked for, to the file or to stdout."""
    from .tables import study_text

    deliver(
        study_text(study, to_file=path is not None).encode() if format_ == "table" else study.to_bytes(format_), path
    )


def resolve_format(format_: str | None, path: Path | None) -> str:
    """The format asked for, or the one that the output's suffix names; usage errors before anything is computed."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.UsageError(f"{path}: cannot be written, as its folder is not there")
    if format_ == "parquet" and path is None and sys.stdout.isatty():
        raise click.UsageError("parquet is binary; give it a file with --output")
    if format_:
        return format_
    if path is None:
        return "table"
    if path.suffix not in _SUFFIXES:
        raise click.UsageError(
            f"cannot tell a format from {path.name!r}; add --format or use one of {', '.join(_SUFFIXES)}"
        )
    return _SUFFIXES[path.suffix]


def deliver(content: bytes, path: Path | None) -> None:
    """To the file, whole or not at all, or to stdout."""
    if path is not None:
        from spectra.files import whole_file

        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    else:
        click.echo(content, nl=False)
