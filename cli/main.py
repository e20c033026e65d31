"""The command group: which commands there are, and how an error becomes one line and an exit code."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

import spectra

# A command is one module of this folder with a click command of the same name. The order is that of the help page.
COMMANDS = {
    "demo": "The whole story on real weights, no network.",
    "compare": "What tuning did to each matrix: intruders, ranks, norms.",
    "inspect": "What a checkpoint holds, as matrices.",
    "train": "Tune a model from a recipe.",
    "sweep": "Train a grid of recipes, compare each, one table.",
    "forgetting": "Loss on general text, against the untouched base.",
    "intervene": "Scale intruders, with controls; what it buys, what it costs.",
    "continual": "Task after task: accuracy of all, intruders, forgetting.",
    "dynamics": "Intruders along a run, from its checkpoints.",
    "report": "One self-contained HTML page from saved results.",
    "plot": "Draw a figure from saved results.",
    "cache": "Decompositions kept on disk: info, clear.",
}


class Commands(click.Group):
    """Loads a command when it is asked for, so that `spectra --help` does not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{cmd_name}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except (spectra.SpectraError, OSError) as error:
            click.echo(f"spectra: error: {error}", err=True)
            sys.exit(2)
        except Exception:  # a bug: Python's own exit code 1 would say that a gate was not met
            click.echo(traceback.format_exc(), err=True)
            sys.exit(3)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Not click's exit code 1, which says that a gate was not met.
            click.echo("spectra: interrupted", err=True)
            sys.exit(130)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 more intruders than --fail-over allows; 2 unusable arguments or files; 3 a bug.",
)
@click.version_option(spectra.__version__, prog_name="spectra")
def main() -> None:
    """What did fine-tuning do to the weights?

    \b
      spectra demo
      spectra compare base.safetensors tuned.safetensors
      spectra compare bert-base-uncased-dir/ my-lora-adapter/ -o result.json
      spectra plot map result.json -o map.svg
    """
