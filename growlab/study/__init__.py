"""A study: what to search, on which data, for how long.

study       the study and its sections, explicit once read
file        a YAML file becomes a study                     checked: a person wrote it
overrides   what `--set` changes in a file before it is read
growth_section  when, with what weights and where a model grows
flat_keys   names of its options from before they had sections
reading     a study's sections, from what YAML or JSON made of them
checking    one value of a dataclass's type from plain data, or an error with its path
column      studies and trial specs as JSON columns         trusted: growlab wrote it
limits      what all trials may spend together, what is good enough
limits_section   these two, read and written
objectives  what trials are judged by, and within which bounds
objectives_section   these, read and written
sampler_section  which sampler decides what to try
keys        the names that the field uses for keys
reference   every key that a study file may have
"""

from growlab.study.limits import Limits
from growlab.study.objectives import Constraint, Objective
from growlab.study.study import (
    PLAIN,
    FromLayer,
    LayoutSpace,
    SamplerSpec,
    Study,
    Transferred,
)

__all__ = [
    "PLAIN",
    "Constraint",
    "FromLayer",
    "LayoutSpace",
    "Limits",
    "Objective",
    "SamplerSpec",
    "Study",
    "Transferred",
]
