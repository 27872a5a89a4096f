"""Each new unit a copy of the unit that it is modelled on, as that is now.

On top of all (`append`, factor 2) the whole stack comes again; `interleaved`, each unit is followed by its copy.
Source: Gong et al. 2019, "Efficient Training of BERT by Progressively Stacking".
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.growth.source import Made, Source, copy_of_origin
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class StackOptions(OperatorOptions):
    copies_origin: ClassVar[bool] = True
    needs_path: ClassVar[bool] = False


@register_operator("stack", "a copy of each unit that is stacked again", options=StackOptions, searched=True)
def stack(source: Source, options: StackOptions) -> Made | None:
    return copy_of_origin(source)
