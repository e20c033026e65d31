"""Errors that a user can cause. Each message is one sentence: the file, the tensor, what is wrong, what to do."""


class SpectraError(Exception):
    """Base of every error that spectra raises about its input; the command line turns it into exit code 2."""


class CheckpointError(SpectraError):
    """A checkpoint cannot be opened, or what it holds cannot be read as weights."""


class PairingError(SpectraError):
    """Two checkpoints have nothing in common that could be compared."""


class ResultError(SpectraError):
    """A saved result cannot be read, or does not hold what was asked of it."""


class RecipeError(SpectraError):
    """A training recipe, its task or its run directory does not make sense."""
