"""One self-contained page from saved results."""

from .page import report

__all__ = ["report"]
