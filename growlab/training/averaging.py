"""The mean of a model's weights over steps of its training: at a learning rate that has not fallen yet it mostly has a
lower loss than the weights themselves, and costs no step.

Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"; before the learning
rate falls: Sanyal et al. 2023, "Early Weight Averaging Meets High Learning Rates for LLM Pre-training".
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import wide

Named = Iterable[tuple[str, nn.Parameter]]


class WeightAverage:
    """A uniform running mean of parameters by name, in fp32 at least and on their device; empty until the first `add`.

    Averages of two layouts' weights are of no function that was trained: with other names the mean begins anew.
    """

    def __init__(self) -> None:
        self.n = 0  # models that the mean is of
        self.means: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, named: Named) -> None:
        """Take the weights, as they are, into the mean. Never waits for the device."""
        weights = {name: parameter.detach() for name, parameter in named}
        if weights.keys() != self.means.keys():
            self.n = 0
            self.means = {name: torch.empty_like(weight, dtype=wide(weight.dtype)) for name, weight in weights.items()}
        self.n += 1
        for name, mean in self.means.items():
            weight = weights[name].to(mean.dtype)
            if self.n == 1:
                mean.copy_(weight)
            else:
                mean.lerp_(weight, 1 / self.n)

    @contextmanager
    def in_place_of(self, named: Named) -> Iterator[None]:
        """Give the parameters these means within, in place, as recorded passes read them there; then their own bits."""
        parameters = dict(named)
        own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        try:
            _fill(parameters, self.means)
            yield
        finally:
            _fill(parameters, own)

    def forget(self) -> None:
        """Be empty again."""
        self.n, self.means = 0, {}

    def load(self, n: int, means: Mapping[str, Float[Tensor, "..."]], device: torch.device) -> None:
        """Go on from what `n` and `means` were."""
        self.n, self.means = n, {name: mean.to(device, copy=True) for name, mean in means.items()}


@torch.no_grad()
def _fill(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
