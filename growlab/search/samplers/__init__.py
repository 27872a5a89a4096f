"""How a study decides what to try next, one file for each sampler."""

from growlab.search.samplers import evolution, given, grid, random

__all__ = ["evolution", "given", "grid", "random"]
