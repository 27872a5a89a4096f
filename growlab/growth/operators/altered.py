"""A control of `stack`: its copies, altered in one respect, to tell what of them it is that a growth lives by.

    noise      each tensor t becomes t + noise · rms(t) · g, g normal: twins are no longer alike
    norm_gain  the norms before the copy's mixers pass on so much more: what leaves an out-projection of zero (entry
               scale 0, an exact entry) grows as much faster
    out        fresh: the out-projections are those of the initialisation, loud or not as the entry scale says; what the
               copy's mixers compute stays, what they did with it does not

What a block marked `copied_at_growth` (time constants, skips) is copied as it is.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.growth.source import Made, Source, copy_of_origin
from growlab.recipes import OperatorOptions, register_operator
from growlab.scalar import scalar
from growlab.seeds import derived_seed

COPIED, FRESH_OUT = "copied", "fresh"


@dataclass(frozen=True, kw_only=True)
class AlteredOptions(OperatorOptions):
    copies_origin: ClassVar[bool] = True
    needs_path: ClassVar[bool] = False

    noise: float = scalar(0.0, at_least=0, help="sd of what is added to a tensor, in its own root mean square")
    norm_gain: float = scalar(1.0, above=0, help="what the gains of the norms before its mixers are multiplied by")
    out: str = scalar(COPIED, choices=(COPIED, FRESH_OUT), help="its out-projections: copied | fresh (as initialised)")


@register_operator(
    "stack-altered", "control: stack with noise, louder norms or fresh out-projections", options=AlteredOptions
)
def altered(source: Source, options: AlteredOptions) -> Made | None:
    copy = copy_of_origin(source)
    if copy is None:
        return None
    parameters = dict(source.unit.named_parameters())
    gains = {id(parameter) for parameter in source.norm_gains(source.unit)}
    outs = {id(parameter) for parameter in source.out_projections(source.unit)}
    new = {}
    for name, weight in copy.new.items():
        parameter = parameters[name]
        if options.out == FRESH_OUT and id(parameter) in outs:
            continue
        copied = getattr(parameter, "copied_at_growth", False)
        noisy = weight if copied else _noisy(weight, options.noise, derived_seed(source.seed, name))
        new[name] = noisy * options.norm_gain if id(parameter) in gains else noisy
    return Made(new=new)


def _noisy(weight: Float[Tensor, "*shape"], noise: float, seed: int) -> Float[Tensor, "*shape"]:
    """Add noise, drawn on the CPU: the same numbers on every device, and nobody else's are disturbed."""
    if noise == 0:
        return weight
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    return weight + noise * weight.square().mean().sqrt() * drawn.to(weight)
