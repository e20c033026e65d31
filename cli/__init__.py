"""The `spectra` command: arguments in, library calls, results out. No computation lives here."""

from .main import main

__all__ = ["main"]
