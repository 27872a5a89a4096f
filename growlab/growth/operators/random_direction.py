"""The control of `aiether`: a step as long as its own, in a direction that is drawn and not of the path.

Legend: *shape the tensor's own.
"""

from hashlib import sha256

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.geometry.gram import in_float64
from growlab.geometry.subspace import norm
from growlab.growth.operators.aiether import AietherOptions, founding_step
from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import register_operator


@register_operator("random-direction", "control: as far as aiether, in a random direction", options=AietherOptions)
@tensor_by_tensor
def random_direction(path: TensorPath, options: AietherOptions, source: Source) -> Float[Tensor, "*shape"]:
    """Step from W_last by ‖step of aiether‖ · g/‖g‖, with g normal, of the unit's seed and the parameter's name."""
    n_entries = path.last.numel()
    step_n = founding_step(path.gram, options, source.critical, n_entries=n_entries)
    length = norm(path.gram, step_n) if len(path.increments) else 0.0
    if length == 0:
        return path.last.clone()
    drawn = torch.randn(path.last.shape, generator=_generator(source.seed, path.name), dtype=torch.float64)
    last = in_float64(path.last)
    new: Tensor = last + (length / drawn.norm() * drawn).to(last)
    return new.to(path.last)


def _generator(seed: int, name: str) -> torch.Generator:
    """A generator of its own, on the CPU: the same numbers on every device, and nobody else's are disturbed."""
    digest = sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
