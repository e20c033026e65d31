"""``python -m spectra.cli``."""

from .main import main

main()
