"""Make tuned checkpoints: a recipe, its task, the methods, and the run directory they leave."""

from .recipe import Recipe
from .run import Run
from .training import train

__all__ = ["Recipe", "Run", "train"]
