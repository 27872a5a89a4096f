"""Parallel mixers of one layer, fused by a gate of each token.

    two branches     y_t = g_t a_t + (1 - g_t) b_t,   g_t = sigmoid(w · x_t)
    more             y_t = Σ_i g_ti m_i(x)_t,         g_t = softmax(W x_t)

Each branch sees the same normalised input and keeps its own out-projection, so that one gate value weighs what the
branch would add to the stream. At first every branch has about the same weight.

Sources: the founding hybrid of attention, SSM and Hopfield memory, and AGIFORMER's gated block, meant this; Hymba (Dong
et al. 2024) fuses attention and SSM heads in one layer too.

Legend: B batch, T tokens, D d_model, N branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer, Penalty, State, total, wide
from growlab.blocks.nest import Nest, joined, sum_of
from growlab.kinds import Cost, Nesting, register_nest


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    def check(self, d_model: int) -> None:
        pass


def mix_cost(d_model: int, options: MixOptions, seq_len: int, branches: Sequence[Sequence[Cost]]) -> Cost:
    inner, n_gates = sum_of(branches), n_logits(len(branches))
    return replace(
        inner,
        n_params=inner.n_params + d_model * n_gates,
        matmul_flops=inner.matmul_flops + 2 * seq_len * d_model * n_gates,
        # what each branch says, and the gates
        activations=inner.activations + seq_len * len(branches) * (d_model + 1),
    )


def n_logits(n_branches: int) -> int:
    """The number of logits that weigh the branches: one for two branches, else one for each."""
    return 1 if n_branches == 2 else n_branches


@register_nest(
    "mix",
    nesting=Nesting(example="attn,ssm", branches=(2, 8), length=(1, 1), whole=False),
    summary="parallel mixers, fused by a gate of each token",
    options=MixOptions,
    cost=mix_cost,
)
class Mix(Nest):
    def __init__(self, d_model: int, options: MixOptions, branches: Sequence[Sequence[Mixer]]) -> None:
        super().__init__(d_model, options, branches)
        self.gate = nn.Linear(d_model, n_logits(len(branches)), bias=False)

    @property
    def mixers(self) -> list[Mixer]:
        return cast(list[Mixer], self.held)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._fuse(x_BTD, [mixer(x_BTD) for mixer in self.mixers])

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        outputs, penalties = zip(*(mixer.forward_with_penalty(x_BTD) for mixer in self.mixers), strict=True)
        return self._fuse(x_BTD, outputs), total(penalties)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        pairs = zip(self.mixers, self.states(state), strict=True)
        outputs, states = zip(*(mixer.advance(x_BTD, its_state) for mixer, its_state in pairs), strict=True)
        return self._fuse(x_BTD, outputs), joined(states)

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        return joined([mixer.absorb(x_BTD, own) for mixer, own in zip(self.mixers, self.states(state), strict=True)])

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """The mean weight of each branch, then the metrics of the branches."""
        found = {f"gate_{at}": gate for at, gate in enumerate(self.gates(x_BTD).flatten(0, 1).mean(0))}
        for at, mixer in enumerate(self.mixers):
            found.update({f"branch_{at}.{name}": value for name, value in mixer.metrics(x_BTD).items()})
        return found

    def gates(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T N"]:
        """The weights of the branches: not negative, of sum 1, fp32 at least."""
        logits_BTG: Tensor = self.gate(x_BTD)
        logits_BTG = logits_BTG.to(wide(logits_BTG.dtype))
        if logits_BTG.shape[-1] > 1:
            return logits_BTG.softmax(-1)
        return torch.cat((logits_BTG.sigmoid(), (-logits_BTG).sigmoid()), -1)

    def _fuse(self, x_BTD: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        gates_BTN = self.gates(x_BTD).to(outputs[0].dtype)
        return torch.stack([gates_BTN[..., at, None] * output_BTD for at, output_BTD in enumerate(outputs)]).sum(0)
