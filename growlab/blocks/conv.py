"""Causal gated convolution: a short depthwise filter over the past, gated by the present.

    y = W_out( silu(W_g x) · (filter * W_v x) ),  (filter * v)_t = Σ_{j=0}^{kernel-1} f_j v_{t-j} + b

Source: the founding project AETHER meant this; its filter was symmetric and saw the future.

Legend: B batch, T tokens, D d_model, K kernel.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer, State
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class ConvOptions:
    kernel: int = option(4, search=(3, 4, 8), help="tokens that the filter sees, the present one included")

    def check(self, d_model: int) -> None:
        if self.kernel < 1:
            raise LayoutError(f"conv[kernel={self.kernel}] must be at least 1")


def conv_cost(d_model: int, options: ConvOptions, seq_len: int) -> Cost:
    return Cost(
        n_params=3 * d_model * d_model + d_model * options.kernel + d_model,
        matmul_flops=2 * seq_len * d_model * (3 * d_model + options.kernel),
        other_flops=0,
        activations=6 * seq_len * d_model,  # value and gate, the padded value, filtered, silu, product
        state_size=(options.kernel - 1) * d_model,
    )


@register_block("conv", role="sequence", summary="causal gated convolution", options=ConvOptions, cost=conv_cost)
class GatedConv(Mixer):
    def __init__(self, d_model: int, options: ConvOptions) -> None:
        super().__init__(d_model, options)
        self.past = options.kernel - 1
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.filter = nn.Conv1d(d_model, d_model, options.kernel, groups=d_model)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        value_BDT, gate_BTD = self._value_and_gate(x_BTD)
        return self._filter(F.pad(value_BDT, (self.past, 0)), gate_BTD)

    def initial_state(self, batch: int) -> State:
        weight = self.filter.weight
        return (torch.zeros(batch, weight.shape[0], self.past, device=weight.device, dtype=weight.dtype),)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Filter the next tokens; the state is the last kernel - 1 values."""
        value_BDT, gate_BTD = self._value_and_gate(x_BTD)
        seen_BDS = torch.cat((state[0].to(value_BDT.dtype), value_BDT), dim=2)
        return self._filter(seen_BDS, gate_BTD), (seen_BDS[:, :, seen_BDS.shape[2] - self.past :],)

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        """Keep the last values alone: without gate and output a third of the products and the filter are saved."""
        value_BDT = F.linear(x_BTD, self.in_proj.weight[: x_BTD.shape[-1]]).transpose(1, 2)
        seen_BDS = torch.cat((state[0].to(value_BDT.dtype), value_BDT), dim=2)
        return (seen_BDS[:, :, seen_BDS.shape[2] - self.past :],)

    def _value_and_gate(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        value_BTD, gate_BTD = self.in_proj(x_BTD).chunk(2, dim=-1)
        return value_BTD.transpose(1, 2), gate_BTD

    def _filter(self, seen_BDS: Tensor, gate_BTD: Tensor) -> Tensor:
        filtered_BTD = self.filter(seen_BDS).transpose(1, 2)
        mixed: Tensor = self.out_proj(F.silu(gate_BTD) * filtered_BTD)
        return mixed
