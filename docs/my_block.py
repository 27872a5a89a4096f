"""An example of a plugin: the block kind "shift", which mixes each token with the one before it.

    y_t = W_out( silu(W_g x_t) · (m · v_t + (1 - m) · v_{t-1}) ),  v = W_v x,  m learnt per channel

Source: the token shift of RWKV, Peng et al. 2023. Legend: B batch, T tokens, D d_model.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from growlab.blocks import Mixer, State
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class ShiftOptions:
    present: float = option(0.7, search=(0.3, 0.7, 0.9), help="share of the present token when training begins")

    def check(self, d_model: int) -> None:
        if not 0 <= self.present <= 1:
            raise LayoutError(f"shift[present={self.present}] must be between 0 and 1")


def shift_cost(d_model: int, options: ShiftOptions, seq_len: int) -> Cost:
    n_params, activations = 3 * d_model**2 + d_model, 7 * seq_len * d_model
    flops = {"matmul_flops": 6 * seq_len * d_model**2, "other_flops": 4 * seq_len * d_model}
    return Cost(n_params=n_params, activations=activations, state_size=d_model, **flops)


@register_block("shift", role="sequence", summary="gated token shift", options=ShiftOptions, cost=shift_cost)
class TokenShift(Mixer):
    def __init__(self, d_model: int, options: ShiftOptions) -> None:
        super().__init__(d_model, options)
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.present = nn.Parameter(torch.full((d_model,), options.present))
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.advance(x_BTD, self.initial_state(len(x_BTD)))[0]

    def initial_state(self, batch: int) -> State:
        return (self.present.new_zeros(batch, 1, len(self.present)),)

    def advance(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """The state is v of the last token."""
        v_BTD, gate_BTD = self.in_proj(x_BTD).chunk(2, dim=-1)
        before_BTD = torch.cat((state[0], v_BTD[:, :-1]), dim=1)
        mixed_BTD = before_BTD + self.present * (v_BTD - before_BTD)
        return self.out_proj(F.silu(gate_BTD) * mixed_BTD), (v_BTD[:, -1:],)
