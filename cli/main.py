"""The command group: which commands there are."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

import spectra

from .exits import exit_code

_COMPLETION = "_SPECTRA_COMPLETE"  # set by a shell that completes a command line

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

    def main(
        self,
        args: Any = None,
        prog_name: Any = None,
        complete_var: Any = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode or _COMPLETION in os.environ:
            return super().main(args, "spectra", complete_var, standalone_mode, **extra)

        def run() -> None:
            with self.make_context("spectra", list(sys.argv[1:] if args is None else args), **extra) as context:
                self.invoke(context)

        sys.exit(exit_code(run))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 more intruders than --fail-over allows, or a failed run in a sweep; 2 unusable "
    "arguments or files, or some of them (the rest is reported); 3 a bug; 130 interrupted; 141 a pipe that was closed.",
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
