"""How a study decides what to try next, one file for each sampler."""

from growlab.search.samplers import evolution, given, gp, grid, model, nsga2, random, tpe

__all__ = ["evolution", "given", "gp", "grid", "model", "nsga2", "random", "tpe"]
