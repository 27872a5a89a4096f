"""An example of a plugin: a block kind "ema", an exponential moving average of the past, gated by the present.

    y = W_out( silu(W_g x) · h ),  h_t = a·h_{t-1} + (1 - a)·W_v x_t,  0 < a < 1 learnt per channel

Legend: B batch, T tokens, D d_model.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from growlab.blocks import Mixer, State
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class EmaOptions:
    half_life: float = option(8.0, search=(2.0, 8.0, 32.0), help="tokens that halve a weight when training begins")

    def check(self, d_model: int) -> None:
        if not 0.1 <= self.half_life <= 10_000:
            raise LayoutError(f"ema[half_life={self.half_life}] must be between 0.1 and 10000")


def ema_cost(d_model: int, options: EmaOptions, seq_len: int) -> Cost:
    rounds = seq_len.bit_length()
    return Cost(
        n_params=3 * d_model * d_model + d_model,
        matmul_flops=2 * seq_len * 3 * d_model * d_model,
        other_flops=seq_len * d_model * (1 + 2 * rounds),
        activations=seq_len * d_model * (5 + rounds),  # value and gate, h before and after each round, silu, product
        state_size=d_model,
    )


@register_block("ema", role="sequence", summary="gated moving average", options=EmaOptions, cost=ema_cost)
class MovingAverage(Mixer):
    def __init__(self, d_model: int, options: EmaOptions) -> None:
        super().__init__(d_model, options)
        a = 0.5 ** (1 / options.half_life)
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.a_logit = nn.Parameter(torch.full((d_model,), math.log(a / (1 - a))))
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.advance(x_BTD, self.initial_state(len(x_BTD)))[0]

    def initial_state(self, batch: int) -> State:
        return (self.a_logit.new_zeros(batch, len(self.a_logit)),)

    def advance(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """The state is the last h. All h in log2(T) rounds, in fp32 like `a`: no power of it can overflow."""
        value_BTD, gate_BTD = self.in_proj(x_BTD).chunk(2, dim=-1)
        a_D = self.a_logit.sigmoid()
        h_BTD = torch.cat((state[0][:, None], (1 - a_D) * value_BTD), dim=1)
        reach = 1
        while reach < h_BTD.shape[1]:  # h_t sums up `reach` tokens; those before it are in h_{t-reach}
            h_BTD = torch.cat((h_BTD[:, :reach], h_BTD[:, reach:] + a_D**reach * h_BTD[:, :-reach]), dim=1)
            reach *= 2
        return self.out_proj(F.silu(gate_BTD) * h_BTD[:, 1:]), (h_BTD[:, -1],)
