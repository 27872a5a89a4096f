"""Block kinds. A kind is one file here: an Options dataclass, a cost function, a Mixer, one decorator.

base      what every kind keeps: the residual Block and the Mixer it holds
act       blocks run again and again, until each token halts
attn      causal attention, rotary positions, grouped heads, QK-norm, gate
conv      causal gated convolution
hebbian   fast weights that forget at a rate of each token; added to, or corrected by the delta rule
hopfield  modern Hopfield retrieval from earlier tokens and a learnt bank
loop      blocks run a fixed number of times on the residual stream
mamba     S6: a selective state space, scanned by selective_scan
mamba2    SSD: a selective state space with one decay for each head
mix       parallel mixers, fused by a gate of each token
mlp       SwiGLU or GELU
moe       sparse mixture of SwiGLU experts
router    a mixer that each token opens as far as it wants
ssm       diagonal SSM (S4D) with a learnt input scale
swa       attention to a window of the last tokens, linear in their number

patch         front end: soft patches of tokens, and a decoder for those of the next one
hebbian_head  head: a memory of which token followed what

parts            what stands before and after the blocks
nest             what the kinds that hold others share: act, loop, mix, router
causal_filter    the short filter before a recurrence
swiglu           the gate of mlp and moe
window_attention  that of swa
decaying_memory  the recurrence of hebbian and mamba2, in chunks
delta_memory     that of hebbian[delta=true]

Importing this package fills growlab.kinds.KINDS.
"""

from growlab.blocks import (
    act,
    attn,
    conv,
    hebbian,
    hebbian_head,
    hopfield,
    loop,
    mamba,
    mamba2,
    mix,
    mlp,
    moe,
    patch,
    router,
    ssm,
    swa,
)
from growlab.blocks.base import Block, Mixer, State, block_around, block_cost, build_block

__all__ = [
    "Block",
    "Mixer",
    "State",
    "act",
    "attn",
    "block_around",
    "block_cost",
    "build_block",
    "conv",
    "hebbian",
    "hebbian_head",
    "hopfield",
    "loop",
    "mamba",
    "mamba2",
    "mix",
    "mlp",
    "moe",
    "patch",
    "router",
    "ssm",
    "swa",
]
