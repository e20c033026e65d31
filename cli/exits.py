"""What came of a command, as one line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

import click

import spectra
from spectra.escaping import printable

DONE, GATE, UNUSABLE, BUG, INTERRUPTED = 0, 1, 2, 3, 130
CLOSED_PIPE = 141  # as a shell says of `cat`, or any program, that its reader has left
_LONGEST = 4000  # characters of a message: a name may be as long as a file


def exit_code(run: Callable[[], object]) -> int:
    """Run a command; what it raises becomes a line and a code. click's own handling has 1 for most, which is a gate."""
    try:
        run()
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        for line in message.getvalue().splitlines():
            click.echo(printable(line, _LONGEST), err=True)
        return error.exit_code
    except spectra.SpectraError as error:
        say(f"error: {error}")
        return UNUSABLE
    except BrokenPipeError:
        _let_go_of_stdout()
        return CLOSED_PIPE
    except OSError as error:
        _let_go_of_stdout()
        where = f"{error.filename}: " if error.filename is not None else "the output: "
        say(f"error: {where}{error.strerror or error or type(error).__name__}; make room, or choose another place")
        return UNUSABLE
    except Exception as error:  # whatever is left is a bug of ours, and ends in one line and a code of its own
        if _is_out_of_memory(error):
            say("error: there is not enough memory for this; end other programs, or use a machine that has more")
            return UNUSABLE
        lines = traceback.format_exc().rstrip().split("\n")
        for line in lines if os.environ.get("SPECTRA_TRACEBACK") else lines[-1:]:
            click.echo(printable(line, _LONGEST), err=True)
        say(
            f"this is a bug of spectra {spectra.__version__}; please report it on its issue tracker, with the command "
            "and the traceback, which it prints with SPECTRA_TRACEBACK=1 set"
        )
        return BUG
    return DONE


def say(message: str) -> None:
    """One line on stderr, whatever names are in it."""
    with suppress(OSError):  # nobody listens
        click.echo(f"spectra: {printable(message, _LONGEST)}", err=True)


def _is_out_of_memory(error: Exception) -> bool:
    # torch has no class for it on the CPU.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _let_go_of_stdout() -> None:
    """What could not be written is forgotten, so that Python does not try again, and fail, when it ends."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
