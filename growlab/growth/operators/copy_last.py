"""The newest unit, once more.

Legend: *shape the tensor's own.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class CopyLastOptions(OperatorOptions):
    of_newest: ClassVar[bool] = True


@register_operator("copy-last", "the newest unit's newest snapshot", options=CopyLastOptions, searched=True)
@tensor_by_tensor
def copy_last(path: TensorPath, options: CopyLastOptions, source: Source) -> Float[Tensor, "*shape"]:
    return path.last.clone()
