"""A sparse mixture of experts: each token is mixed by the k experts that its router thinks most of.

    p = softmax(W x),   chosen = the k largest of p + b,   y = Σ_{i chosen} g_i E_i(x),   g_i = p_i
    E(x) = W_out( silu(W_g x) · W_v x ), as mlp

No token is dropped. The weight is p itself for any k: with k = 1 a weight divided by the sum of the chosen would be 1,
and the router would learn nothing from the text. `renormalise` divides so where k > 1, as Mixtral does. Added to the
training loss, once and as it stands here:

    z_loss · mean(logsumexp(W x)²) + balance · N Σ_i f_i P_i

f_i is the share of expert i in all choices, of sum 1, and P_i the mean of its p. N Σ f_i P_i is 1 when all is even, N
when one expert is all that is chosen, and N/k when k are.

With balancing=bias there is no balance term, and nothing pulls at p; instead b moves against the load. b is a parameter
whose gradient is NUDGE · (f_i - 1/N), so a step of AdamW moves it by about the learning rate, down where f_i > 1/N. The
paper moves it by exactly 0.001 in every step; ours goes slower where the sign changes, as AdamW averages, and slower as
the learning rate decays, and it is saved, adopted and frozen as all parameters are. Without balancing=bias, b = 0.

Router and weights are fp32 under autocast too. On a CPU tokens are sorted by expert. On a GPU a step may not wait for
the device, so nobody there knows how many tokens an expert has: in bf16 one kernel takes products of groups whose ends
lie on the device, on GPUs that have it; else all experts mix all tokens, as one SwiGLU of width N·H whose hidden units
are weighed, most of them by 0. Where so few tokens are decoded that this would read more, the chosen weights are
gathered.

Sources: Shazeer et al. 2017, "Outrageously Large Neural Networks"; Fedus et al. 2021, "Switch Transformers" (p as the
weight, the balance); Zoph et al. 2022, "ST-MoE" (z); Jiang et al. 2024, "Mixtral of Experts"; Wang et al. 2024,
"Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts"; the founding Aetheris, whose router learnt
nothing from the text, and whose penalties were weighed twice.

Legend: B batch, T tokens, S = B·T, D d_model, N experts, K = k of them, R = S·K rows, H hidden width of an
expert, E = 2H.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from growlab.blocks.base import Mixer, Penalty, never_changing, wide, without_autocast
from growlab.blocks.mlp import MlpOptions, hidden_width
from growlab.blocks.swiglu import swiglu
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block

NUDGE = 1e-3  # small in the norm that clips gradients, large beside the ε of AdamW
ALIGNED = 8  # numbers of bf16 that are the 16 bytes at which the grouped kernel wants each row to begin


@dataclass(frozen=True, kw_only=True)
class MoeOptions:
    n_experts: int = option(8, search=(4, 8), help="experts, 2 to 256")
    top_k: int = option(2, search=(1, 2), help="experts that mix a token")
    expand: float = option(
        4 / 3, search=(4 / 3, 2.0), help="hidden width of an expert over d_model; two of 4/3 cost what mlp's 8/3 does"
    )
    balance: float = option(
        0.01, search=(0.001, 0.01), help="price of an even load, in nats; one expert alone costs n_experts times that"
    )
    z_loss: float = option(0.001, search=(0.0, 0.001), help="price of router logits whose logsumexp is 1, in nats")
    balancing: str = option(
        "loss", search=("loss", "bias"), help="loss, or bias: the choice is pushed and no loss added"
    )
    renormalise: bool = option(False, search=(False, True), help="divide the weights of the chosen by their sum")

    def check(self, d_model: int) -> None:
        if not 2 <= self.n_experts <= 256:
            raise LayoutError(f"moe[n_experts={self.n_experts}] must be between 2 and 256; one expert is an mlp")
        if not 1 <= self.top_k <= self.n_experts:
            raise LayoutError(f"moe[top_k={self.top_k}] must be between 1 and n_experts={self.n_experts}")
        if not 0 < self.expand <= 64:
            raise LayoutError(f"moe[expand={self.expand}] must be greater than 0 and at most 64")
        for name, price in (("balance", self.balance), ("z_loss", self.z_loss)):
            if not 0 <= price <= 100:
                raise LayoutError(f"moe[{name}={price}] must be between 0 and 100")
        if self.balancing not in ("loss", "bias"):
            raise LayoutError(f"moe[balancing={self.balancing}] must be loss or bias")
        if self.renormalise and self.top_k == 1:
            raise LayoutError(
                "moe[renormalise=True,top_k=1] would weigh every expert by 1, so that the router learns nothing from "
                "the text; leave renormalise out or choose top_k of 2 or more"
            )

    @property
    def has_bias(self) -> bool:
        return self.balancing == "bias"


def expert_width(d_model: int, options: MoeOptions) -> int:
    return hidden_width(d_model, MlpOptions(expand=options.expand))


def moe_cost(d_model: int, options: MoeOptions, seq_len: int) -> Cost:
    """Cost of the products of the chosen experts, whatever a device computes besides."""
    n_experts, k, hidden = options.n_experts, options.top_k, expert_width(d_model, options)
    router, expert = d_model * n_experts, 3 * d_model * hidden
    return Cost(
        n_params=router + n_experts * expert + n_experts * options.has_bias,
        matmul_flops=2 * seq_len * (router + k * expert),
        other_flops=5 * seq_len * n_experts,
        # probabilities; of each choice the input, what mlp keeps, the output, its weight, places in 64 bits
        activations=seq_len * (n_experts + k * (2 * d_model + 4 * hidden + 7)),
        state_size=0,
    )


class Routing(NamedTuple):
    """The experts that mix each token, and how that came about; fp32 at least."""

    logits: Float[Tensor, "S N"]
    p: Float[Tensor, "S N"]
    chosen: Int[Tensor, "S K"]
    weight: Float[Tensor, "S K"]

    @property
    def counts(self) -> Int[Tensor, " N"]:
        """The number of times that each expert was chosen; no bincount, as that would wait for a GPU."""
        experts_N = torch.arange(self.p.shape[1], device=self.chosen.device)
        return (self.chosen.flatten()[:, None] == experts_N).sum(0)

    @property
    def load(self) -> Float[Tensor, " N"]:
        """The share f of each expert in all choices, of sum 1."""
        return self.counts.to(self.p.dtype) / self.chosen.numel()

    def imbalance(self) -> Float[Tensor, ""]:
        """The auxiliary loss N Σ f_i P_i; its gradient is that of P."""
        return self.p.shape[1] * (self.load * self.p.mean(0)).sum()

    def z(self) -> Float[Tensor, ""]:
        return self.logits.logsumexp(-1).square().mean()

    def weights(self) -> Float[Tensor, "S N"]:
        """Weights of all experts, 0 for those that were not chosen."""
        return torch.zeros_like(self.p).scatter(1, self.chosen, self.weight)


@register_block(
    "moe", role="channel", summary="sparse mixture of SwiGLU experts, dropless", options=MoeOptions, cost=moe_cost
)
class Moe(Mixer):
    def __init__(self, d_model: int, options: MoeOptions) -> None:
        super().__init__(d_model, options)
        self.options = options
        self.router = nn.Linear(d_model, options.n_experts, bias=False)
        self.experts = Experts(options.n_experts, d_model, expert_width(d_model, options))
        self.bias: nn.Parameter | None = None
        if options.has_bias:
            self.bias = nn.Parameter(torch.zeros(options.n_experts))
            self.bias.no_decay = True  # type: ignore[attr-defined]  # read by the optimizer: it counts loads
            self.bias.copied_at_growth = True  # type: ignore[attr-defined]  # read by growth: so is no weight

    def out_projections(self) -> list[nn.Parameter]:
        return [self.experts.out_proj.weight]

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._mix(x_BTD, self.route(x_BTD))

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        routing = self.route(x_BTD)
        return self._mix(x_BTD, routing), self.penalty(routing)

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """The entropy of the experts' shares of all choices, over ln N; and the largest share."""
        load_N = self.route(x_BTD).load
        return {"load_entropy": torch.special.entr(load_N).sum() / math.log(len(load_N)), "largest_load": load_N.max()}

    def route(self, x_BTD: Float[Tensor, "B T D"]) -> Routing:
        with without_autocast(x_BTD.device):
            to = wide(x_BTD.dtype)
            logits_SN = F.linear(x_BTD.flatten(0, 1).to(to), self.router.weight.to(to))
            p_SN = logits_SN.softmax(-1)
            liked_SN = p_SN.detach() if self.bias is None else p_SN.detach() + self.bias.detach().to(to)
            chosen_SK = liked_SN.topk(self.options.top_k, dim=-1).indices
            weight_SK = p_SN.gather(1, chosen_SK)
            if self.options.renormalise:
                weight_SK = weight_SK / weight_SK.sum(-1, keepdim=True)
        return Routing(logits_SN, p_SN, chosen_SK, weight_SK)

    def penalty(self, routing: Routing) -> Float[Tensor, ""]:
        with without_autocast(routing.p.device):
            penalty = self.options.z_loss * routing.z()
            if self.bias is None:
                return penalty + self.options.balance * routing.imbalance()
            nudge = NUDGE * (self.bias * (routing.load - 1 / len(self.bias))).sum()
            return penalty + (nudge - nudge.detach())  # a gradient without a value

    def _mix(self, x_BTD: Tensor, routing: Routing) -> Tensor:
        x_SD = x_BTD.flatten(0, 1)
        n_rows, n_experts = routing.chosen.numel(), self.options.n_experts
        if torch.compiler.is_exporting():  # a program in which no shape depends on data
            y_SD = self.experts.dense(x_SD, routing)
        elif x_SD.device.type == "cpu":
            y_SD = self.experts.sorted(x_SD, routing)
        elif self.experts.can_group(x_SD):
            y_SD = self.experts.grouped(x_SD, routing)
        elif 3 * n_rows < n_experts:  # gathered weights are read, written and read
            y_SD = self.experts.gathered(x_SD, routing)
        else:
            y_SD = self.experts.dense(x_SD, routing)
        return y_SD.view(x_BTD.shape)


class Experts(nn.Module):
    """N SwiGLUs as mlp's, and the ways to compute those that were chosen: all of them are the same function."""

    def __init__(self, n_experts: int, d_model: int, hidden: int) -> None:
        super().__init__()
        self.in_proj = Stack(n_experts, 2 * hidden, d_model, fan_in=d_model)
        self.out_proj = Stack(n_experts, hidden, d_model, fan_in=hidden)

    def sorted(self, x_SD: Float[Tensor, "S D"], routing: Routing) -> Float[Tensor, "S D"]:
        """Compute each expert on its slice of the sorted rows, whose lengths are known on the host."""
        rows = Rows(x_SD, routing)
        mixed = [
            swiglu(F.linear(its_RD, in_ED)) @ out_HD
            for its_RD, in_ED, out_HD in zip(
                torch.split(rows.x_RD, routing.counts.tolist()),
                self.in_proj.weight.unbind(0),  # of all at once: a slice would give a gradient of the whole stack
                self.out_proj.weight.unbind(0),
                strict=True,
            )
            if len(its_RD)
        ]
        return rows.joined(torch.cat(mixed), routing)

    def grouped(self, x_SD: Float[Tensor, "S D"], routing: Routing) -> Float[Tensor, "S D"]:
        """Compute all slices in one kernel; where they end is known on the device."""
        rows, to = Rows(x_SD, routing), narrow(x_SD)
        ends_N = routing.counts.cumsum(0).to(torch.int32)
        in_NDE, out_NHD = self.in_proj.weight.to(to).transpose(1, 2), self.out_proj.weight.to(to)
        inner_RE = F.grouped_mm(rows.x_RD.to(to), in_NDE, offs=ends_N)
        return rows.joined(F.grouped_mm(swiglu(inner_RE), out_NHD, offs=ends_N), routing)

    def dense(self, x_SD: Float[Tensor, "S D"], routing: Routing) -> Float[Tensor, "S D"]:
        """Compute all experts side by side; the hidden units of those that were not chosen are weighed by 0."""
        n_experts, hidden, _ = self.out_proj.weight.shape
        inner_SNE = F.linear(x_SD, self.in_proj.weight.flatten(0, 1)).view(-1, n_experts, 2 * hidden)
        hidden_SNH = swiglu(inner_SNE) * routing.weights().to(inner_SNE.dtype)[..., None]
        return hidden_SNH.flatten(1) @ self.out_proj.weight.flatten(0, 1)

    def gathered(self, x_SD: Float[Tensor, "S D"], routing: Routing) -> Float[Tensor, "S D"]:
        """Compute with a copy of the chosen weights for each token."""
        in_SKED, out_SKHD = (stack.weight[routing.chosen] for stack in (self.in_proj, self.out_proj))
        inner_SKE = (in_SKED @ x_SD[:, None, :, None]).squeeze(-1)
        y_SKD = (swiglu(inner_SKE)[..., None, :] @ out_SKHD).squeeze(-2)
        return weighed(y_SKD, routing)

    def can_group(self, x_SD: Float[Tensor, "S D"]) -> bool:
        return narrow(x_SD) == torch.bfloat16 and x_SD.shape[1] % ALIGNED == 0 and _has_grouped_kernel(x_SD.device)


class Stack(nn.Module):
    """The same matrix of N experts, each N(0, 1 / (3·fan_in)) as all matrices are."""

    def __init__(self, n_experts: int, n_rows: int, n_columns: int, *, fan_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_experts, n_rows, n_columns))
        self.weight.holds_matrices = True  # type: ignore[attr-defined]  # read by the optimizer
        nn.init.normal_(self.weight, std=1 / math.sqrt(3 * fan_in))


class Rows:
    """Tokens, each once for each expert that was chosen for it, sorted by expert."""

    def __init__(self, x_SD: Float[Tensor, "S D"], routing: Routing) -> None:
        # at most 256 experts: a GPU sorts by eight bits at a time
        self.order_R = routing.chosen.flatten().to(torch.uint8).argsort(stable=True)
        places_R = torch.arange(len(self.order_R), device=x_SD.device)
        self.inverse_R = torch.empty_like(self.order_R).scatter_(0, self.order_R, places_R)
        x_SKD = x_SD[:, None].expand(-1, routing.chosen.shape[1], -1)
        self.x_RD = permuted(x_SKD.reshape(-1, x_SD.shape[1]), self.order_R, self.inverse_R)

    def joined(self, y_RD: Float[Tensor, "R D"], routing: Routing) -> Float[Tensor, "S D"]:
        """Sum what the experts made of each token, weighed."""
        y_SKD = permuted(y_RD, self.inverse_R, self.order_R).view(*routing.chosen.shape, -1)
        return weighed(y_SKD, routing)


class _Permutation(torch.autograd.Function):
    """Rows in another order, forth and back by gathering. torch's own gradient would scatter: slower, and on a GPU with
    sums, whose order may vary."""

    @staticmethod
    def forward(ctx, x_RD, there_R, back_R):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(there_R, back_R)
        return x_RD[there_R]

    @staticmethod
    def backward(ctx, grad_RD):  # type: ignore[no-untyped-def]
        there_R, back_R = ctx.saved_tensors
        return permuted(grad_RD, back_R, there_R), None, None


def permuted(x_RD: Float[Tensor, "R D"], there_R: Int[Tensor, " R"], back_R: Int[Tensor, " R"]) -> Float[Tensor, "R D"]:
    """Rows x[there] in another order, where back is the inverse of there."""
    moved: Tensor = _Permutation.apply(x_RD, there_R, back_R)  # type: ignore[no-untyped-call]
    return moved


def weighed(y_SKD: Float[Tensor, "S K D"], routing: Routing) -> Float[Tensor, "S D"]:
    return (y_SKD * routing.weight.to(y_SKD.dtype)[..., None]).sum(1)


def narrow(x: Float[Tensor, "..."]) -> torch.dtype:
    """The dtype that products are computed in: autocast's, if it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


@never_changing
def _has_grouped_kernel(device: torch.device) -> bool:
    """Whether the device has one kernel for all groups.

    Elsewhere torch takes group by group, and waits for the device to know their ends.
    """
    return device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (9, 0)
