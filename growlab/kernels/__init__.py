"""Computations with a second form, written in Triton for GPUs: one file each, behind one kind of door (door.py).

door             what chooses between the definition and the kernel, and compares them before it does
causal_filter    the short filter before a scan: forwards and backwards in one pass each, without transposing
cross_entropy    the loss of a large vocabulary, without logits in fp32
decaying_memory  the matrix memories that only add: those of mamba2, hebbian and hopfield; of
                 memory_chunk, memory_walk, memory_gradient: decays and products, both ways through it, gradients
delta_memory     the one that overwrites, hebbian's under the delta rule
rms_norm         RMSNorm, whose gain has a slow gradient in torch
selective_scan   mamba's scan with what stands around it, in chunks
swiglu           the gate of mlp and moe
window_attention  that of swa, by torch's FlashAttention; opens with GROWLAB_KERNELS=all, as nobody has measured it

A file of kernels imports triton, and is itself imported when its door first opens: never on a machine without a GPU.
"""

from growlab.kernels.door import Door, closed_doors, compare_all, is_open, stepped_back

__all__ = ["Door", "closed_doors", "compare_all", "is_open", "stepped_back"]
