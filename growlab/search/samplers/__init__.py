"""How a study decides what to try next, one file for each sampler."""

from growlab.search.samplers import evolution, given, grid, model, random

__all__ = ["evolution", "given", "grid", "model", "random"]
