"""How a study decides what to try next, one file for each sampler."""

from growlab.search.samplers import evolution, grid, random

__all__ = ["evolution", "grid", "random"]
