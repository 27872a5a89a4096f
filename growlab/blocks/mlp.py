"""The channel mixer of a transformer, gated or plain.

    swiglu   y = W_out( silu(W_g x) · W_v x )
    gelu     y = W_out( gelu(W_v x) )

Sources: Shazeer 2020, "GLU Variants Improve Transformer"; Hendrycks and Gimpel 2016, "Gaussian Error Linear Units".

Legend: B batch, T tokens, D d_model.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer
from growlab.blocks.swiglu import swiglu
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class MlpOptions:
    expand: float = option(
        8 / 3, search=(2.0, 8 / 3, 4.0), help="hidden width over d_model; swiglu's 8/3 costs what gelu's 4 does"
    )
    activation: str = option("swiglu", search=("swiglu", "gelu"), help="swiglu (gated) or gelu (plain)")

    def check(self, d_model: int) -> None:
        if not 0 < self.expand <= 64:
            raise LayoutError(f"mlp[expand={self.expand}] must be greater than 0 and at most 64")
        if self.activation not in ("swiglu", "gelu"):
            raise LayoutError(f"mlp[activation={self.activation}] must be swiglu or gelu")

    @property
    def is_gated(self) -> bool:
        return self.activation == "swiglu"


def hidden_width(d_model: int, options: MlpOptions) -> int:
    """The multiple of 8 nearest to d_model * expand, at least 8: matrix units want it."""
    return max(8, 8 * round(d_model * options.expand / 8))


def mlp_cost(d_model: int, options: MlpOptions, seq_len: int) -> Cost:
    hidden = hidden_width(d_model, options)
    n_params = (3 if options.is_gated else 2) * d_model * hidden
    return Cost(
        n_params=n_params,
        matmul_flops=2 * seq_len * n_params,
        other_flops=0,
        # value and gate, silu, product; or value and gelu
        activations=(4 if options.is_gated else 2) * seq_len * hidden,
        state_size=0,
    )


@register_block("mlp", role="channel", summary="SwiGLU or GELU", options=MlpOptions, cost=mlp_cost)
class Mlp(Mixer):
    def __init__(self, d_model: int, options: MlpOptions) -> None:
        super().__init__(d_model, options)
        hidden = hidden_width(d_model, options)
        self.is_gated = options.is_gated
        self.in_proj = nn.Linear(d_model, 2 * hidden if self.is_gated else hidden, bias=False)
        self.out_proj = nn.Linear(hidden, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        mixed: Tensor = self.out_proj(self._activated(self.in_proj(x_BTD)))
        return mixed

    def _activated(self, value: Tensor) -> Tensor:
        return swiglu(value) if self.is_gated else F.gelu(value)
