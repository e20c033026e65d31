"""`spectra cache`."""

from __future__ import annotations

from typing import Any

import click


@click.group("cache")
def command() -> None:
    """Full decompositions of base matrices, kept so that none is computed twice.

    SPECTRA_CACHE names another folder for them, SPECTRA_CACHE_LIMIT another size in GB (0: keep none).

    \b
      spectra cache info
      spectra cache clear
    """


@command.command("info")
def info() -> None:
    """Say where they are, how many, and how large."""
    from spectra.cache import cache_info

    found = cache_info()
    click.echo(f"{found.folder}: {_amount(found)}, of at most {found.limit / 1e9:,.1f} GB")


@command.command("clear")
def clear() -> None:
    """Remove them all."""
    from spectra.cache import clear_cache

    found = clear_cache()
    click.echo(f"{found.folder}: removed {_amount(found)}")


def _amount(found: Any) -> str:
    return f"{found.files} decomposition{'s' * (found.files != 1)}, {found.bytes / 1e6:,.1f} MB"
