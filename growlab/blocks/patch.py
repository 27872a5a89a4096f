"""Soft patches: the blocks see one position for every `size` tokens, and a decoder says what the next tokens are.

    position i convolution over tokens size·i - (kernel - size) … size·i + size - 1: never one after the patch
    decoder    z_r = (W_z norm(h_i))_r for the tokens r = 0 … size-1 of the next patch, and
               y_r = z_r + W_out( silu(W_g c_r) · W_v c_r ),
               c_r = z_r                           independent
               c_r = [z_r, e_{r-1}, …, e_0]        autoregressive; e: the next patch's own tokens before r, embedded

`independent`: given what the blocks said, the tokens of a patch are predicted without seeing one another, and are drawn
so: what one of them is does not bind the others. `autoregressive`: each sees those before it, in training all at once.
A token is predicted from all patches before its own; those of the first patch from a learnt start. Any number of tokens
will do: the blocks do not see a patch before it is full.

Sources: the founding project AGIFORMER (soft patching, kernel 6, stride 4; its padding let a token of the next patch
in, and its decoder drew four bytes independently without saying so); patches of bytes, Yu et al. 2023, "MegaByte".

Legend: B batch, T tokens, N patches, P their size, D d_model, H hidden width, S tokens still needed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.any_length import joined, pieces
from growlab.blocks.base import NORM_EPS, State
from growlab.blocks.parts import Front, Rest
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_part

DECODERS = ("independent", "autoregressive")


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    size: int = option(4, search=(2, 4, 8), help="tokens of a patch")
    kernel: int = option(6, search=(6, 8), help="tokens that a patch is made from; at least its size")
    decoder: str = option(
        "autoregressive", search=DECODERS, help="do a patch's tokens see those before them: " + ", ".join(DECODERS)
    )

    def check(self, d_model: int) -> None:
        if not 1 <= self.size <= 64:
            raise LayoutError(f"patch[size={self.size}] must be between 1 and 64")
        if not self.size <= self.kernel <= 256:
            raise LayoutError(f"patch[kernel={self.kernel}] must be at least size={self.size} and at most 256")
        if self.decoder not in DECODERS:
            raise LayoutError(f"patch[decoder={self.decoder}] must be {' or '.join(DECODERS)}")

    def n_positions(self, seq_len: int) -> int:
        """The number of full patches in a text of this length."""
        return seq_len // self.size

    @property
    def n_before(self) -> int:
        """The number of tokens of a patch that its last one sees."""
        return self.size - 1 if self.decoder == "autoregressive" else 0


def patch_cost(d_model: int, options: PatchOptions, seq_len: int, vocab_size: int) -> Cost:
    """Cost of patching and decoding; what would stand in the last patch behind the last token is decoded too."""
    P, before, hidden = options.size, options.n_before, 2 * d_model
    n, decoded = options.n_positions(seq_len), (options.n_positions(seq_len) + 1) * options.size
    convolution, spread = d_model * d_model * options.kernel, P * d_model * d_model
    gated, out = (1 + before) * d_model * 2 * hidden, hidden * d_model
    return Cost(
        n_params=convolution + d_model + d_model + d_model + spread + gated + out,
        matmul_flops=2 * (n * convolution + (n + 1) * spread + decoded * (gated + out)),
        other_flops=0,
        # the padded tokens, patches and what the blocks say of them twice; z, what is seen, hidden, and y
        activations=d_model * (seq_len + 3 * n) + decoded * ((2 + 2 * before) * d_model + 4 * hidden),
        state_size=d_model * (options.kernel - P + seq_len % P + 1),
    )


@register_part(
    "patch",
    role="front",
    summary="soft patches of tokens, and a decoder for the tokens of the next one",
    options=PatchOptions,
    cost=patch_cost,
)
class Patch(Front):
    def __init__(self, d_model: int, options: PatchOptions, vocab_size: int) -> None:
        super().__init__()
        self.size, self.n_before = options.size, options.n_before
        self.context = options.kernel - options.size  # tokens before its own that a patch sees
        self.encoder = nn.Conv1d(d_model, d_model, options.kernel, stride=options.size)
        self.start = nn.Parameter(torch.randn(d_model))
        self.norm = nn.RMSNorm(d_model, eps=NORM_EPS)
        self.spread = nn.Linear(d_model, options.size * d_model, bias=False)
        self.of_place = nn.Linear(d_model, 4 * d_model, bias=False)
        self.of_tokens = nn.Linear(self.n_before * d_model, 4 * d_model, bias=False) if self.n_before else None
        self.out_proj = nn.Linear(2 * d_model, d_model, bias=False)

    def initial_state(self, batch: int) -> State:
        """The state of zeros before the first token, and the start."""
        before_BSD = self.start.new_zeros(batch, self.context, len(self.start))
        return before_BSD, self.start.expand(batch, 1, -1)

    def take(self, e_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B N D"], Rest]:
        kept_BSD, h_B1D = state
        seen_BSD = torch.cat((kept_BSD.to(e_BTD.dtype), e_BTD), dim=1)
        rest = Rest(seen_BSD, h_B1D, n_new=e_BTD.shape[1])
        whole = self.context + self._n_whole(seen_BSD) * self.size
        if torch.compiler.is_exporting():  # of a text that may be shorter than a patch: with patches that nobody sees
            seen_BSD = F.pad(seen_BSD, (0, 0, 0, whole + 2 * self.size - seen_BSD.shape[1]))
        elif whole == self.context:
            return e_BTD[:, :0], rest
        else:
            seen_BSD = seen_BSD[:, :whole]
        x_BND = self.encoder(seen_BSD.transpose(1, 2)).transpose(1, 2)
        return x_BND.to(e_BTD.dtype), rest

    def tell(self, h_BND: Float[Tensor, "B N D"], rest: Rest) -> tuple[Float[Tensor, "B T D"], State]:
        seen_BSD, n_whole = rest.seen, self._n_whole(rest.seen)
        before_BND = torch.cat(
            (rest.last.to(h_BND.dtype), h_BND), dim=1
        )  # each patch, and the one not full, from these
        own_BSD = seen_BSD[:, self.context :]
        n_own = own_BSD.shape[1]
        first = n_own - rest.n_new + 1
        z_BNPD = self.spread(self.norm(before_BND)).unflatten(2, (self.size, -1))
        if torch.compiler.is_exporting():
            own_BNPD = self._before_each(pieces(own_BSD, before_BND.shape[1], self.size))
            return self._decode(*(joined(each_BNPD, first, n_own + 1) for each_BNPD in (z_BNPD, own_BNPD))), ()
        full_BSD = F.pad(own_BSD, (0, 0, 0, (n_whole + 1) * self.size - n_own))
        own_BNPD = self._before_each(full_BSD.view(len(full_BSD), -1, self.size, full_BSD.shape[2]))
        y_BTD = self._decode(z_BNPD, own_BNPD).flatten(1, 2)[:, first : n_own + 1]
        return y_BTD.to(h_BND.dtype), (seen_BSD[:, n_whole * self.size :], before_BND[:, -1:])

    def _n_whole(self, seen_BSD: Tensor) -> int:
        """The number of patches that have become full."""
        return (seen_BSD.shape[1] - self.context) // self.size

    def _decode(self, z: Tensor, own: Tensor) -> Tensor:
        """Decode what tokens are predicted from: what the blocks say of a place, and its patch's tokens before it."""
        hidden = self.of_place(z)
        if self.of_tokens is not None:
            hidden = hidden + self.of_tokens(own)
        value, gate = hidden.chunk(2, dim=-1)
        y: Tensor = z + self.out_proj(F.silu(gate) * value)
        return y

    def _before_each(self, own_BNPD: Tensor) -> Tensor:
        """Tokens of the patch before each of its tokens, the nearest first, zeros where the patch begins."""
        shifted = [F.pad(own_BNPD, (0, 0, by, -by)) for by in range(1, self.n_before + 1)]
        return torch.cat(shifted, dim=-1) if shifted else own_BNPD[..., :0]
