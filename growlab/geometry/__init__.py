"""The geometry of a path of weights, all of it from one small matrix.

gram        inner products of the increments of one tensor
trajectory  τ, κ and what is corrected for noise, from that matrix
many        the same statistics of many paths at once
subspace    principal directions of the velocities, as combinations of the increments

Legend: S snapshots W_0 … W_{S-1} of one tensor, n = S - 1 increments V_i = W_i - W_{i-1}, D entries
of the flattened tensor, Δ = Σ V_i, G_ij = <V_i, V_j>. Nothing here is ever D × D.
"""
