"""The table of samplers, each a name with options: how a study decides what to try next.

A sampler is registered by its own file in growlab/search/samplers, or by a plugin (growlab.search.sampling says what it
sees and gives). A study file has `sampler: NAME`, or `sampler: {name: NAME, OPTION: …}`.
"""

from growlab.named import Part
from growlab.registry import Registry

SAMPLERS: Registry[Part] = Registry("sampler")

DEFAULT_SAMPLER = "model"  # of a silent study: what measured best (benchmarks/results/search.txt)
NAMELESS_SAMPLER = "evolution"  # of every row that names none
