"""Each new unit shares the work of the unit that it is modelled on, which gets quieter as it enters.

At entry scale s the old unit's out-projections are multiplied by 1 - s/2 and the new one's by s/2: at 1 two equal
halves, at 0 the old function, to the bit. Where m units are modelled on one old unit, each has s/(m+1) and that
1 - m·s/(m+1), so that the shares make 1 at every scale. Beside each other they would compute what the old one did;
one after another, as they stand, nearly.

The engine multiplies the new out-projections by s, so only the 1/(m+1) is made here.
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.growth.source import Made, Source, Weights, copy_of_origin
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class SplitOptions(OperatorOptions):
    copies_origin: ClassVar[bool] = True
    needs_path: ClassVar[bool] = False


@register_operator("split", "a copy that shares its original's work: both halves × ½ at scale 1", options=SplitOptions)
def split(source: Source, options: SplitOptions) -> Made | None:
    copy = copy_of_origin(source)
    if copy is None:
        return None
    origin, share = source.units[source.origin], 1 / (source.n_alike + 1)
    outs = {id(parameter) for parameter in source.out_projections(origin)}
    quieter = {name: parameter for name, parameter in origin.named_parameters() if id(parameter) in outs}
    new: Weights = {**copy.new, **{name: parameter * share for name, parameter in quieter.items()}}
    if source.entry_scale == 0:
        return Made(new=new)
    left = 1 - source.n_alike * source.entry_scale * share
    return Made(new=new, old={source.origin: {name: parameter * left for name, parameter in quieter.items()}})
