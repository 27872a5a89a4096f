"""SwiGLU: y = W_out( silu(W_g x) · W_v x ).

Source: Shazeer 2020, "GLU Variants Improve Transformer".
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class MlpOptions:
    expand: float = option(
        8 / 3, search=(2.0, 8 / 3, 4.0), help="hidden width over d_model; 8/3 costs what a GELU 4 does"
    )

    def check(self, d_model: int) -> None:
        if not 0 < self.expand <= 64:
            raise LayoutError(f"mlp[expand={self.expand}] must be greater than 0 and at most 64")


def hidden_width(d_model: int, options: MlpOptions) -> int:
    """The multiple of 8 nearest to d_model * expand, at least 8: matrix units want it."""
    return max(8, 8 * round(d_model * options.expand / 8))


def mlp_cost(d_model: int, options: MlpOptions, seq_len: int) -> Cost:
    hidden = hidden_width(d_model, options)
    return Cost(
        n_params=3 * d_model * hidden,
        matmul_flops=2 * seq_len * 3 * d_model * hidden,
        other_flops=0,
        activations=4 * seq_len * hidden,  # value and gate, silu, product
        state_size=0,
    )


@register_block("mlp", role="channel", summary="SwiGLU", options=MlpOptions, cost=mlp_cost)
class SwiGLU(Mixer):
    def __init__(self, d_model: int, options: MlpOptions) -> None:
        super().__init__(d_model, options)
        hidden = hidden_width(d_model, options)
        self.in_proj = nn.Linear(d_model, 2 * hidden, bias=False)
        self.out_proj = nn.Linear(hidden, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        value, gate = self.in_proj(x_BTD).chunk(2, dim=-1)
        mixed: Tensor = self.out_proj(F.silu(gate) * value)
        return mixed
