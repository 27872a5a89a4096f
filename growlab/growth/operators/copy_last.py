"""The newest unit, once more.

Legend: *shape the tensor's own.
"""

from jaxtyping import Float
from torch import Tensor

from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import OperatorOptions, register_operator


@register_operator("copy-last", "the source unit's newest snapshot", searched=True)
@tensor_by_tensor
def copy_last(path: TensorPath, options: OperatorOptions, source: Source) -> Float[Tensor, "*shape"]:
    return path.last.clone()
