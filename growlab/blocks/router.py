"""A gate in front of a mixer: each token says how much of it it wants.

    y_t = s_t m(x)_t,   s_t = sigmoid(w · x_t + b)

so that the stream becomes x_t + s_t m(norm(x))_t. Wanting is dear: ponder · mean(s) is added to the training loss, once
and as it stands here. With `hard` set s is rounded to 0 or 1, and a single token that says no costs only what the
mixer needs to know of it later (`absorb`); where all s are 0 or 1 that is the same function.

Source: the founding project AETHER (its adaptive layer, which never exited); the ponder cost, Graves 2016.

Legend: B batch, T tokens, D d_model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer, Penalty, State, total, wide
from growlab.blocks.nest import Nest, sum_of
from growlab.errors import LayoutError
from growlab.kinds import Cost, Nesting, option, register_nest


@dataclass(frozen=True, kw_only=True)
class RouterOptions:
    ponder: float = option(0.01, search=(0.0, 0.01, 0.1), help="price of a fully open gate, in nats")

    def check(self, d_model: int) -> None:
        if not 0 <= self.ponder <= 100:
            raise LayoutError(f"router[ponder={self.ponder}] must be between 0 and 100")


def router_cost(d_model: int, options: RouterOptions, seq_len: int, branches: Sequence[Sequence[Cost]]) -> Cost:
    """Cost as in training, where every token is mixed."""
    inner = sum_of(branches)
    return replace(
        inner,
        n_params=inner.n_params + d_model + 1,
        matmul_flops=inner.matmul_flops + 2 * seq_len * d_model,
        activations=inner.activations + seq_len * (d_model + 1),
    )


@register_nest(
    "router",
    nesting=Nesting(example="conv", branches=(1, 1), length=(1, 1), whole=False),
    summary="a mixer that each token opens as far as it wants",
    options=RouterOptions,
    cost=router_cost,
)
class Router(Nest):
    hard = False  # decode with gates of 0 and 1, and skip what is closed

    def __init__(self, d_model: int, options: RouterOptions, branches: Sequence[Sequence[Mixer]]) -> None:
        super().__init__(d_model, options, branches)
        self.ponder = options.ponder
        self.gate = nn.Linear(d_model, 1)
        nn.init.zeros_(self.gate.bias)

    @property
    def mixer(self) -> Mixer:
        (mixer,) = self.held
        assert isinstance(mixer, Mixer)
        return mixer

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._weigh(self.openness(x_BTD), self.mixer(x_BTD))

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        open_BT1, (mixed_BTD, penalty) = self.openness(x_BTD), self.mixer.forward_with_penalty(x_BTD)
        return self._weigh(open_BT1, mixed_BTD), total([self.ponder * open_BT1.mean(), penalty])

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        open_BT1 = self.openness(x_BTD)
        if self.hard and x_BTD.shape[1] == 1 and not open_BT1.any():
            return torch.zeros_like(x_BTD), self.mixer.absorb(x_BTD, state)
        mixed_BTD, state = self.mixer.advance(x_BTD, state)
        return self._weigh(open_BT1, mixed_BTD), state

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        return self.mixer.absorb(x_BTD, state)

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """The mean openness, then the metrics of the mixer."""
        return {"open": self.openness(x_BTD).mean(), **self.mixer.metrics(x_BTD)}

    def openness(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T 1"]:
        """The gate s, fp32 at least; 0 or 1 where `hard`."""
        logits_BT1: Tensor = self.gate(x_BTD)
        if self.hard:
            return (logits_BT1 >= 0).to(wide(logits_BT1.dtype))
        return logits_BT1.to(wide(logits_BT1.dtype)).sigmoid()

    def _weigh(self, open_BT1: Tensor, mixed_BTD: Tensor) -> Tensor:
        return open_BT1.to(mixed_BTD.dtype) * mixed_BTD
