"""Recipes: a whole chain of steps as a data file, from the first member's table to what is written.

`eos7.toml` is the published one; copy it, change it, and give its path instead of the name.
"""

from .recipe import Built, Part, Recipe, build, read_recipe

__all__ = ["Built", "Part", "Recipe", "build", "read_recipe"]
