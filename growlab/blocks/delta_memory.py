"""A matrix memory under the delta rule, that forgets at a rate of its own for each token: chunked, in log space.

    S_t = a_t S_{t-1} + k_t u_tᵀ,    u_t = b_t (v_t - (a_t S_{t-1})ᵀ k_t),    y_t = S_tᵀ q_t,    0 < a_t ≤ 1

What is written is not the value but what the key does not read yet: a key that comes again overwrites, where
growlab.blocks.decaying_memory adds. With |k_t| ≤ 1 and 0 ≤ b_t ≤ 1 no S_t is larger than what was written into it.

Within a chunk that starts with S, the u_t solve a triangular system (I + A) U = diag(b) (V - diag(e^g) K S), with
A_ts = b_t e^(Σ_{s<r≤t} ln a_r) k_t · k_s for s < t and g_t = Σ_{r≤t} ln a_r. Its inverse is made for all chunks at
once, by products of matrices alone (so that a GPU, a compiler and a recorded step know what to do); then the memory is
handed on from chunk to chunk. Time and memory are linear in T, and no exponent is ever positive. On a GPU the same is
computed by growlab.kernels.delta_memory.

Sources: Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule over Sequence Length" (the triangular
system); Yang et al. 2025, "Gated Delta Networks: Improving Mamba2 with Delta Rule" (with a_t).

Legend: B batch, H heads, T tokens, K entries of a key, V of a value, N chunks of C tokens, P the least power of two
that is at least C, J pairs of neighbouring blocks of S tokens.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from growlab.blocks.any_length import recurrence
from growlab.blocks.decaying_memory import chunks, cut, cut_alike, joined_alike, kernel_fits, segment_sums
from growlab.kernels import Door
from growlab.kernels.door import Form


def revise(
    q_BHTK: Float[Tensor, "B H T K"],
    k_BHTK: Float[Tensor, "B H T K"],
    v_BHTV: Float[Tensor, "B H T V"],
    log_decay_BHT: Float[Tensor, "B H T"],
    strength_BHT: Float[Tensor, "B H T"],
    memory_BHKV: Float[Tensor, "B H K V"] | None = None,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "B H K V"] | None]:
    """Read what each token asks for, and return it with the memory after the last one.

    Without a memory to start from, it starts empty, and what it ends with is not computed: the second value is None.
    Queries, keys and values may be narrower than the rest, of whose dtype, fp32 at least, is all that is computed.
    """
    read: tuple[Tensor, Tensor | None] = REVISE(q_BHTK, k_BHTK, v_BHTV, log_decay_BHT, strength_BHT, memory_BHKV)
    return read


def _revise(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    strength_BHT: Tensor,
    memory_BHKV: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    T, carried = q_BHTK.shape[2], memory_BHKV is not None
    q, k, v, log_decay_BHNC, strength_BHNC = (
        cut(tensor.to(log_decay_BHT.dtype)) for tensor in (q_BHTK, k_BHTK, v_BHTV, log_decay_BHT, strength_BHT)
    )
    kept_BHNCC = segment_sums(log_decay_BHNC).exp()
    from_start_BHNC1 = log_decay_BHNC.cumsum(-1).exp()[..., None]
    written = k * strength_BHNC[..., None]
    inverse_BHNCC = unit_inverse((written @ k.transpose(-1, -2) * kept_BHNCC).tril(-1))
    asked = torch.cat((v * strength_BHNC[..., None], written * from_start_BHNC1), dim=-1)
    new_BHNCV, met_BHNCK = torch.split(inverse_BHNCC @ asked, [v.shape[-1], k.shape[-1]], dim=-1)

    left_BHNKC = (k * kept_BHNCC[..., -1, :, None]).transpose(-1, -2)
    corrections, memories = _handed_on(new_BHNCV, met_BHNCK, left_BHNKC, from_start_BHNC1[..., -1:, :], memory_BHKV)
    y_BHNCV = (q @ k.transpose(-1, -2) * kept_BHNCC) @ torch.stack(corrections, dim=2)
    found = memories[:-1] if carried else memories  # by the last chunks
    if found:
        read_BHNCV = (q * from_start_BHNC1)[:, :, -len(found) :] @ torch.stack(found, dim=2)
        y_BHNCV = y_BHNCV + F.pad(read_BHNCV, (0, 0, 0, 0, q.shape[2] - len(found), 0))
    return y_BHNCV.flatten(2, 3)[:, :, :T], memories[-1] if carried else None


def _revise_exported(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    strength_BHT: Tensor,
    memory_BHKV: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Compute what `_revise` does, of however many chunks: all memories are handed on by one operator."""
    T = q_BHTK.shape[2]
    q, k, v, log_decay_BHNC, strength_BHNC = (
        cut_alike(tensor.to(log_decay_BHT.dtype)) for tensor in (q_BHTK, k_BHTK, v_BHTV, log_decay_BHT, strength_BHT)
    )
    kept_BHNCC, from_start_BHNC1 = segment_sums(log_decay_BHNC).exp(), log_decay_BHNC.cumsum(-1).exp()[..., None]
    written = k * strength_BHNC[..., None]
    inverse_BHNCC = unit_inverse((written @ k.transpose(-1, -2) * kept_BHNCC).tril(-1))
    new_BHNCV, met_BHNCK = inverse_BHNCC @ (v * strength_BHNC[..., None]), inverse_BHNCC @ (written * from_start_BHNC1)
    left_BHNKC = (k * kept_BHNCC[..., -1, :, None]).transpose(-1, -2)
    scores_BHNCC, asked_BHNCK = q @ k.transpose(-1, -2) * kept_BHNCC, q * from_start_BHNC1

    def step(
        memory_BHKV: Tensor, new: Tensor, met: Tensor, left: Tensor, decay: Tensor, scores: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        u_BHCV = new - met @ memory_BHKV
        return torch.addcmul(left @ u_BHCV, decay, memory_BHKV), scores @ u_BHCV + asked @ memory_BHKV

    of_chunks = (new_BHNCV, met_BHNCK, left_BHNKC, from_start_BHNC1[..., -1:, :], scores_BHNCC, asked_BHNCK)
    initial = torch.zeros_like(left_BHNKC[:, :, 0] @ new_BHNCV[:, :, 0]) if memory_BHKV is None else memory_BHKV
    last, y_NBHCV = recurrence(step, initial, *(tensor.movedim(2, 0) for tensor in of_chunks))
    return joined_alike(y_NBHCV.movedim(0, 2), T), last


def _handed_on(
    new_BHNCV: Tensor, met_BHNCK: Tensor, left_BHNKC: Tensor, decay_BHN11: Tensor, memory_BHKV: Tensor | None
) -> tuple[list[Tensor], list[Tensor]]:
    """The matrix U of each chunk; the memory to start from, if there is one, and that after each chunk that is read."""
    n_chunks, carried = new_BHNCV.shape[2], memory_BHKV is not None
    corrections, memories = [], [] if memory_BHKV is None else [memory_BHKV]
    for n, (u_BHCV, met_BHCK) in enumerate(zip(new_BHNCV.unbind(2), met_BHNCK.unbind(2), strict=True)):
        if memories:
            u_BHCV = u_BHCV - met_BHCK @ memories[-1]
        corrections.append(u_BHCV)
        if n + 1 < n_chunks or carried:  # nobody reads what the last one leaves
            after_BHKV = left_BHNKC[:, :, n] @ u_BHCV
            if memories:
                after_BHKV = torch.addcmul(after_BHKV, decay_BHN11[:, :, n], memories[-1])
            memories.append(after_BHKV)
    return corrections, memories


def unit_inverse(A: Float[Tensor, "*batch C C"]) -> Float[Tensor, "*batch C C"]:
    """Inverse (I + A)^-1 of a strictly lower triangular A: inverses along the diagonal, joined two by two.

    [[X, 0], [A, Y]]^-1 = [[X^-1, 0], [-Y^-1 A X^-1, Y^-1]]. Every number on the way is one of the result, or as
    large: the series I - A + A² - …, also of products alone, would lose all of its digits where keys are alike.
    """
    C = A.shape[-1]
    if C == 1:
        return 1 - A  # A is 0
    P = padded_length(C)
    A = F.pad(A, (0, P - C, 0, P - C))
    low = -_below_diagonal(A, 1)
    inverse = _joined(torch.ones_like(low), low, torch.ones_like(low))
    S = 2
    while S < P:
        first, second = torch.unflatten(inverse, -3, (-1, 2)).unbind(-3)
        inverse = _joined(first, -(second @ _below_diagonal(A, S)) @ first, second)
        S *= 2
    return inverse.squeeze(-3)[..., :C, :C]


def padded_length(length: int) -> int:
    """The least power of two that is not below a length."""
    return 1 << (length - 1).bit_length()


def revision_products(seq_len: int, n_heads: int, head_dim: int) -> int:
    """Count the products of matrices' entries in `revise`, of one sequence from an empty memory, K = V = head_dim."""
    n_chunks, length = chunks(seq_len)
    within = length**2 * 5 * head_dim  # k kᵀ, q kᵀ; the inverse with values and keys; scores with what is written
    inverse, S, P = 0, 2, padded_length(length)
    while S < P:
        inverse += P * S**2  # two products of S × S for each of P / 2S pairs
        S *= 2
    between = (n_chunks - 1) * 3 * length * head_dim**2  # met, written and read
    return n_heads * (n_chunks * (within + inverse) + between)


def _below_diagonal(A: Tensor, S: int) -> Tensor:
    """The blocks below the diagonal, one of each two neighbouring blocks on it: (*batch, J, S, S)."""
    pairs = torch.unflatten(torch.unflatten(A, -1, (-1, 2 * S)), -3, (-1, 2 * S))
    return pairs.diagonal(dim1=-4, dim2=-2).movedim(-1, -3)[..., S:, :S]


def _joined(first: Tensor, low: Tensor, second: Tensor) -> Tensor:
    """The matrix [[first, 0], [low, second]]."""
    return torch.cat((F.pad(first, (0, first.shape[-1])), torch.cat((low, second), dim=-1)), dim=-2)


# ---- the door to the kernel ------------------------------------------------------------------------------------------


def _kernel() -> Form:
    from growlab.kernels.delta_memory import revise

    return revise


def _examples() -> list[tuple[Tensor | None, ...]]:
    """Two chunks, the second one short; keys that fit into a tile, and wider ones."""
    q, k, v, *others, _ = _drawn(K=12)
    wide_q, wide_k, wide_v, *wide_others = _drawn(K=70)
    in_bf16 = [(q, k, v.to(torch.bfloat16), *others, None), (wide_q, wide_k, wide_v.to(torch.bfloat16), *wide_others)]
    return [_drawn(K=12), *in_bf16]


def _drawn(K: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random) - 0.5

    B, H, T, V = 1, 2, 70, 20
    q, k, v = draw(B, H, T, K), F.normalize(draw(B, H, T, K), dim=-1), draw(B, H, T, V)
    rates = (-torch.rand(B, H, T, generator=random), torch.rand(B, H, T, generator=random))
    return q, k, v, *rates, draw(B, H, K, V)


REVISE = Door(
    name="delta_memory",
    definition=_revise,
    kernel=_kernel,
    fits=kernel_fits,
    examples=_examples,
    exported=_revise_exported,
)
