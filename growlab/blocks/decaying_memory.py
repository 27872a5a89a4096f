"""A matrix memory that forgets at a rate of its own for each token: chunked, in log space.

    S_t = a_t S_{t-1} + b_t k_t v_tᵀ,    y_t = S_tᵀ q_t + d v_t,    0 < a_t ≤ 1

Within a chunk, token t reads (q_t · k_s) e^(Σ_{s<r≤t} ln a_r) b_s v_s of every token s ≤ t: products of C × C numbers.
From chunk to chunk the memory itself is handed on, so that time and memory are linear in T. No exponent is ever
positive and none is the difference of two sums: whatever the decay, nothing overflows and nothing cancels.

On a GPU the same is computed by growlab.kernels.decaying_memory.

Sources: Yang et al. 2024, "Gated Linear Attention Transformers with Hardware-Efficient Training" (chunkwise form); Dao
and Gu 2024, "Transformers are SSMs" (the stable segment sum).

Legend: B batch, H heads, G heads of queries and keys (H, or 1), T tokens, K entries of a key, V of a value, N chunks of
C tokens.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from growlab.blocks.any_length import joined, pieces, recurrence
from growlab.kernels import Door
from growlab.kernels.door import Form

LONGEST = 64  # tokens of a chunk


def remember(
    q_BGTK: Float[Tensor, "B G T K"],
    k_BGTK: Float[Tensor, "B G T K"],
    v_BHTV: Float[Tensor, "B H T V"],
    log_decay_BHT: Float[Tensor, "B H T"],
    memory_BHKV: Float[Tensor, "B H K V"] | None = None,
    strength_BHT: Float[Tensor, "B H T"] | None = None,
    skip_H: Float[Tensor, " H"] | None = None,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "B H K V"] | None]:
    """Read what each token asks for, and return it with the memory after the last one. `log_decay` is ln a ≤ 0.

    Without a memory to start from, it starts empty, and what it ends with is not computed: the second value is None.
    Queries and keys may have one head, which serves all. Without `strength` b is 1, without `skip` d is 0. Queries,
    keys and values may be narrower than the rest, of whose dtype, fp32 at least, is all that is computed.
    """
    read: tuple[Tensor, Tensor | None] = REMEMBER(
        q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, memory_BHKV, strength_BHT, skip_H
    )
    return read


def remember_weighed(
    q_BGTK: Float[Tensor, "B G T K"],
    k_BGTK: Float[Tensor, "B G T K"],
    v_BHTV: Float[Tensor, "B H T V"],
    log_decay_BHT: Float[Tensor, "B H T"],
    memory_BHKW: Float[Tensor, "B H K V+1"] | None = None,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "B H T"], Float[Tensor, "B H K V+1"] | None]:
    """Read as `remember` does, and tell the sum of the weights with which each token reads: what it reads of values 1.

    The memory has a column more, of those.
    """
    read: tuple[Tensor, Tensor, Tensor | None] = WEIGHED(q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, memory_BHKW)
    return read


def chunks(n_tokens: int) -> tuple[int, int]:
    """The number of chunks that a text is cut into, and their length in tokens: nearly equal, to pad little."""
    n_chunks = -(-n_tokens // LONGEST)
    return n_chunks, -(-n_tokens // n_chunks)


def _remember(
    q_BGTK: Tensor,
    k_BGTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    memory_BHKV: Tensor | None,
    strength_BHT: Tensor | None,
    skip_H: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    T, carried = q_BGTK.shape[2], memory_BHKV is not None
    q_BGTK, k_BGTK, v_BHTV = (tensor.to(log_decay_BHT.dtype) for tensor in (q_BGTK, k_BGTK, v_BHTV))
    written_BHTV = v_BHTV if strength_BHT is None else v_BHTV * strength_BHT[..., None]
    q_BGNCK, k_BGNCK, v_BHNCV, log_decay_BHNC = (
        cut(tensor) for tensor in (q_BGTK, k_BGTK, written_BHTV, log_decay_BHT)
    )
    kept_BHNCC = segment_sums(log_decay_BHNC).exp()
    y_BHNCV = (q_BGNCK @ k_BGNCK.transpose(-1, -2) * kept_BHNCC) @ v_BHNCV

    n_chunks = q_BGNCK.shape[2]
    n_written = n_chunks if carried else n_chunks - 1  # nobody reads what the last one leaves
    left_BHNCK = (k_BGNCK * kept_BHNCC[..., -1, :, None])[:, :, :n_written]
    written_BHNKV = left_BHNCK.transpose(-1, -2) @ v_BHNCV[:, :, :n_written]
    from_start_BHNC = log_decay_BHNC.cumsum(-1).exp()
    memories = _handed_on(written_BHNKV, from_start_BHNC[:, :, :n_written, -1], memory_BHKV)
    found = memories[:-1] if carried else memories  # by the last chunks
    if found:
        read_BHNCV = (q_BGNCK * from_start_BHNC[..., None])[:, :, -len(found) :] @ torch.stack(found, dim=2)
        y_BHNCV = y_BHNCV + F.pad(read_BHNCV, (0, 0, 0, 0, n_chunks - len(found), 0))
    y_BHTV = y_BHNCV.flatten(2, 3)[:, :, :T]
    if skip_H is not None:
        y_BHTV = torch.addcmul(y_BHTV, v_BHTV, skip_H[:, None, None])
    return y_BHTV, memories[-1] if carried else None


def _remember_exported(
    q_BGTK: Tensor,
    k_BGTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    memory_BHKV: Tensor | None,
    strength_BHT: Tensor | None,
    skip_H: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Compute what `_remember` does, of however many chunks: all memories are handed on by one operator."""
    T = q_BGTK.shape[2]
    q_BGTK, k_BGTK, v_BHTV = (tensor.to(log_decay_BHT.dtype) for tensor in (q_BGTK, k_BGTK, v_BHTV))
    written_BHTV = v_BHTV if strength_BHT is None else v_BHTV * strength_BHT[..., None]
    q, k, v, log_decay_BHNC = (cut_alike(tensor) for tensor in (q_BGTK, k_BGTK, written_BHTV, log_decay_BHT))
    kept_BHNCC, from_start_BHNC1 = segment_sums(log_decay_BHNC).exp(), log_decay_BHNC.cumsum(-1).exp()[..., None]
    written_BHNKV = (k * kept_BHNCC[..., -1, :, None]).transpose(-1, -2) @ v

    def step(memory_BHKV: Tensor, written_BHKV: Tensor, decay_BH11: Tensor) -> tuple[Tensor, Tensor]:
        return torch.addcmul(written_BHKV, decay_BH11, memory_BHKV), memory_BHKV

    initial = torch.zeros_like(written_BHNKV[:, :, 0]) if memory_BHKV is None else memory_BHKV
    last, before_NBHKV = recurrence(
        step, initial, written_BHNKV.movedim(2, 0), from_start_BHNC1[:, :, :, -1:].movedim(2, 0)
    )
    read_BHNCV = (q * from_start_BHNC1) @ before_NBHKV.movedim(0, 2)
    y_BHTV = joined_alike((q @ k.transpose(-1, -2) * kept_BHNCC) @ v + read_BHNCV, T)
    return y_BHTV if skip_H is None else torch.addcmul(y_BHTV, v_BHTV, skip_H[:, None, None]), last


def _remember_weighed(
    q_BGTK: Tensor, k_BGTK: Tensor, v_BHTV: Tensor, log_decay_BHT: Tensor, memory_BHKW: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return _weighed(_remember, q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, memory_BHKW)


def _weighed_exported(
    q_BGTK: Tensor, k_BGTK: Tensor, v_BHTV: Tensor, log_decay_BHT: Tensor, memory_BHKW: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return _weighed(_remember_exported, q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, memory_BHKW)


def _weighed(
    remember: Form,
    q_BGTK: Tensor,
    k_BGTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    memory_BHKW: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    v_BHTW = F.pad(v_BHTV, (0, 1), value=1.0)
    read_BHTW, memory_BHKW = remember(q_BGTK, k_BGTK, v_BHTW, log_decay_BHT, memory_BHKW, None, None)
    return read_BHTW[..., :-1], read_BHTW[..., -1], memory_BHKW


def _handed_on(written_BHNKV: Tensor, decay_BHN: Tensor, memory_BHKV: Tensor | None) -> list[Tensor]:
    """The memory to start from, if there is one, and the memory after each chunk."""
    memories = [] if memory_BHKV is None else [memory_BHKV]
    for written_BHKV, decay_BH in zip(written_BHNKV.unbind(2), decay_BHN.unbind(2), strict=True):
        if memories:
            written_BHKV = torch.addcmul(written_BHKV, decay_BH[..., None, None], memories[-1])
        memories.append(written_BHKV)
    return memories


def segment_sums(x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C C"]:
    """Sums Σ_{s<r≤t} x_r at row t and column s ≤ t, -inf where s > t; added up one by one, never subtracted."""
    C = x.shape[-1]
    later = torch.ones(C, C, dtype=torch.bool, device=x.device).tril(-1)  # row r > column s
    sums = (x[..., None] * later).cumsum(-2)
    return sums.masked_fill(later.t(), -torch.inf)


def cut(x_BHT: Float[Tensor, "B H T *entries"]) -> Float[Tensor, "B H N C *entries"]:
    """Cut a sequence into chunks. What pads the last one neither writes nor forgets."""
    n_tokens = x_BHT.shape[2]
    n_chunks, length = chunks(n_tokens)
    padded = F.pad(x_BHT, (0, 0) * (x_BHT.dim() - 3) + (0, n_chunks * length - n_tokens))
    return padded.view(*x_BHT.shape[:2], n_chunks, length, *x_BHT.shape[3:])


def cut_alike(x_BHT: Float[Tensor, "B H T *entries"]) -> Float[Tensor, "B H N C *entries"]:
    """Cut a sequence as `cut` does, but into chunks of one length, two or more: torch.export takes 1 for a constant."""
    x_BTH = x_BHT.transpose(1, 2)
    return pieces(x_BTH, (x_BTH.shape[1] + 2 * LONGEST - 1) // LONGEST, LONGEST).movedim(3, 1)


def joined_alike(x_BHNCV: Float[Tensor, "B H N C V"], n_tokens: int) -> Float[Tensor, "B H T V"]:
    """Join what `cut_alike` cut."""
    return joined(x_BHNCV.movedim(1, 3), 0, n_tokens).transpose(1, 2)


# ---- the door to the kernel ------------------------------------------------------------------------------------------


def _kernel() -> Form:
    from growlab.kernels.decaying_memory import remember

    return remember


def _weighed_kernel() -> Form:
    from growlab.kernels.decaying_memory import remember_weighed

    return remember_weighed


def kernel_fits(
    q_BGTK: Float[Tensor, "B G T K"],
    k_BGTK: Float[Tensor, "B G T K"],
    v_BHTV: Float[Tensor, "B H T V"],
    log_decay_BHT: Float[Tensor, "B H T"],
    *others: Float[Tensor, "..."] | None,
) -> bool:
    """Whether kernels take such inputs: of fp32 or, what may be narrower, bf16; keys of at most 128 entries.

    As many heads and tokens as a grid of programs may have, and texts whose entries 32 bits count.
    """
    tokens = (q_BGTK, k_BGTK, v_BHTV)
    in_fp32 = all(tensor is None or tensor.dtype == torch.float32 for tensor in (log_decay_BHT, *others))
    narrow = all(tensor.dtype in (torch.float32, torch.bfloat16) for tensor in tokens)
    (B, H, T, V), K = v_BHTV.shape, q_BGTK.shape[3]
    counted = all(tensor.numel() > 0 and tensor.stride(2) * T < 2**31 for tensor in tokens)
    return in_fp32 and narrow and K <= 128 and counted and T * H * max(K, V) < 2**31 and B * H < 2**16 and T < 2**22


def _examples() -> list[tuple[Tensor | None, ...]]:
    """Two chunks, the second one short, with all that may be left out; in bf16 as mamba2 has them; the same, long."""
    q, k, v, log_decay = _drawn(H=2, G=1)
    memory, strength, skip = _beside(q, v)
    narrow = (tensor.to(torch.bfloat16) for tensor in (q, k, v))
    short = [(q, k, v, log_decay, memory, strength, skip), (*narrow, log_decay, None, strength, skip)]
    q, k, v, log_decay = _long()
    narrow = (tensor.to(torch.bfloat16) for tensor in (q, k, v))
    return [*short, (*narrow, log_decay, *_beside(q, v))]


def _weighed_examples() -> list[tuple[Tensor | None, ...]]:
    q, k, v, log_decay = _drawn(H=2, G=2)
    short = [(q, k, v, log_decay, None), (q, k, v.to(torch.bfloat16), log_decay, None)]
    q, k, v, log_decay = _long()
    memory, _, _ = _beside(q, F.pad(v, (0, 1)))
    return [*short, (q, k, v.to(torch.bfloat16), log_decay, memory)]


def _long() -> tuple[Tensor, ...]:
    """Chunks enough for two segments, and keys wider than a tile."""
    return _drawn(H=1, G=1, T=450, K=70, V=4)


def _drawn(H: int, G: int, T: int = 70, K: int = 12, V: int = 20) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    B = 1
    q, k, v = (torch.rand(shape, generator=random) for shape in ((B, G, T, K), (B, G, T, K), (B, H, T, V)))
    return q, k, v - 0.5, -torch.rand(B, H, T, generator=random)


def _beside(q_BGTK: Tensor, v_BHTV: Tensor) -> tuple[Tensor, ...]:
    """A memory, strengths and skips."""
    random, (B, H, T, V), K = torch.Generator().manual_seed(1), v_BHTV.shape, q_BGTK.shape[3]
    memory, strength, skip = (torch.rand(shape, generator=random) for shape in ((B, H, K, V), (B, H, T), (H,)))
    return memory, strength, skip


REMEMBER = Door(
    name="decaying_memory",
    definition=_remember,
    kernel=_kernel,
    fits=kernel_fits,
    examples=_examples,
    exported=_remember_exported,
)
WEIGHED = Door(
    name="weighed_memory",
    definition=_remember_weighed,
    kernel=_weighed_kernel,
    fits=kernel_fits,
    examples=_weighed_examples,
    exported=_weighed_exported,
)
