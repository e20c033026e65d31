"""The whole story on real weights: tune four ways, compare, draw, say what was found."""

from .setting import base_directory, demo_recipes
from .story import Story, run_demo

__all__ = ["Story", "base_directory", "demo_recipes", "run_demo"]
