"""Statistics of a path of weights: how long against how far (τ), how bent (κ), how far from noise.

A path that never moved has none: every function says None. A closed path (the end is the start)
is infinitely long for its displacement: τ and κ are inf, never 0. Every function raises ValueError
for an empty window.

Legend: n increments, m = n (n - 1) / 2 pairs of them.
"""

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor

from growlab.geometry.gram import Gram
from growlab.records import PathStatistics

Entries = Float[np.ndarray, "n n"]  # of a Gram matrix: on so few numbers NumPy's operations take less time than torch's

# Displacements below this share of the path are rounding: fp32 increments carry 6e-8 each.
CLOSED = 1e-7


@np.errstate(all="ignore")  # a path that diverges has no statistics: NaN, as in torch, and no warnings
def path_statistics(gram_nn: Gram | Entries) -> PathStatistics:
    """All statistics of a path, from the Gram matrix of its increments."""
    gram_nn = _entries(gram_nn)
    return PathStatistics(
        tau=tau(gram_nn),
        kappa=kappa(gram_nn),
        diffusion_exponent=diffusion_exponent(gram_nn),
        drift_to_noise=drift_to_noise(gram_nn),
        drift_z=drift_z(gram_nn),
        path=path_length(gram_nn),
        displacement=displacement(gram_nn),
    )


def path_length(gram_nn: Gram | Entries) -> float:
    """Length of the path Σ ‖V_i‖ = Σ √G_ii, in units of the weights."""
    return float(np.sqrt(_entries(gram_nn).diagonal().clip(min=0)).sum())


def displacement(gram_nn: Gram | Entries) -> float:
    """Distance from start to end ‖Δ‖ = √(1ᵀ G 1), in units of the weights; exactly 0 for a closed path."""
    gram_nn = _entries(gram_nn)
    length = math.sqrt(max(float(gram_nn.sum()), 0.0))
    return length if length > CLOSED * path_length(gram_nn) else 0.0


def tau(gram_nn: Gram | Entries) -> float | None:
    """Stretch τ: how much longer the path is than the straight line: 1 straight, √n a random walk.

    τ = Σ √G_ii / √(1ᵀ G 1), no unit. None when nothing moved, inf for a closed path.
    Source: AIether technical report, "Temporal Stretch Factor".
    """
    gram_nn = _entries(gram_nn)
    path, distance = path_length(gram_nn), displacement(gram_nn)
    if path == 0:
        return None
    return path / distance if distance > 0 else math.inf


def kappa(gram_nn: Gram | Entries) -> float | None:
    """Curvature κ: how much of the path leads aside: 0 straight, √(n-1) a random walk; √(τ² - 1) in high dimension.

    κ = Σ √(G_ii - α_i²) / Σ |α_i| with α_i = (G 1)_i / ‖Δ‖, no unit. None and inf as for τ.
    Source: AIether technical report, "Effective Curvature".
    """
    gram_nn = _entries(gram_nn)
    distance = displacement(gram_nn)
    if distance == 0:
        return None if path_length(gram_nn) == 0 else math.inf
    along_n = gram_nn.sum(1) / distance
    across_n = np.sqrt((gram_nn.diagonal() - along_n**2).clip(min=0))
    return float(across_n.sum() / np.abs(along_n).sum())


def diffusion_exponent(gram_nn: Gram | Entries) -> float | None:
    """Exponent H = 1 - ln τ / ln n: 1 ballistic, 1/2 a random walk, whatever the window's length.

    None below two increments, when nothing moved, and for a closed path.
    """
    gram_nn = _entries(gram_nn)
    stretch, n = tau(gram_nn), len(gram_nn)
    if n < 2 or stretch is None or math.isinf(stretch):
        return None
    return 1 - math.log(stretch) / math.log(n)


def drift_to_noise(gram_nn: Gram | Entries) -> float | None:
    """Estimate r̂² = off̄ / (diag̅ - off̄), unbiased for (drift / noise)² per increment; below 0 when steps turn back.

    None below two increments or when nothing moved; inf for equal increments.
    """
    gram_nn = _entries(gram_nn)
    n = len(gram_nn)
    if path_length(gram_nn) == 0 or n < 2:
        return None
    off, diagonal = _mean_off_diagonal(gram_nn), float(gram_nn.diagonal().mean())
    noise = diagonal - off
    return off / noise if noise > 1e-14 * diagonal else math.inf


def lasting_drift(gram_nn: Gram | Entries) -> float | None:
    """Estimate r̂² as drift_to_noise does, without what increments have in common with those just before them.

    Where noise lasts a while, as momentum makes it, products of neighbours are positive without any drift. So off̄ is
    the intercept a of the regression of all <V_i, V_j>, i < j, on 2^-(j - i): r̂² = a / (diag̅ - a), unbiased for
    increments that are independent or whose correlation is 0.5.

    None below three increments or when nothing moved; inf for equal increments.
    """
    gram_nn = _entries(gram_nn)
    n = len(gram_nn)
    if path_length(gram_nn) == 0 or n < 3:
        return None
    i_m, j_m = np.triu_indices(n, 1)
    products_m, memory_m = gram_nn[i_m, j_m], 0.5 ** (j_m - i_m)
    centred_m = memory_m - memory_m.mean()
    slope = float((centred_m * products_m).sum() / (centred_m**2).sum())
    off, diagonal = float(products_m.mean() - slope * memory_m.mean()), float(gram_nn.diagonal().mean())
    noise = diagonal - off
    return off / noise if noise > 1e-14 * diagonal else math.inf


def back_test(gram_nn: Gram) -> float | None:
    """How far the first half of a window predicts the second, λ = <A, B>/<A, A>: 1 the same again, 0 not at all.

    A and B are the sums of the first and of the last n/2 increments; the middle one of an odd number is in neither. So
    λ·A is the multiple of the first half that lies nearest to the second; below 0 where that turned back.
    None below two increments, and where the first half led nowhere.
    """
    n = len(gram_nn)
    if n == 0:
        raise ValueError("a path needs at least one increment, got an empty window")
    first, last = slice(0, n // 2), slice(n - n // 2, n)
    predicted, predictor = float(gram_nn[first, last].sum()), float(gram_nn[first, first].sum())
    return predicted / predictor if predictor > 0 else None


def drift_z(gram_nn: Gram | Entries) -> float | None:
    """A test of 'the increments have no common drift': standard normal under noise, large under drift.

    z = off̄ · √(n(n-1) / (2·tr̂Σ²)), tr̂Σ² the mean of ((V_i - V_k)·(V_j - V_l))² / 4 over distinct i, j, k, l.
    None below four increments or when nothing moved; inf for equal increments.
    Source: Chen and Qin 2010, "A two-sample test for high-dimensional data", one-sample form.
    """
    gram_nn = _entries(gram_nn)
    n = len(gram_nn)
    if path_length(gram_nn) == 0 or n < 4:
        return None
    off = _mean_off_diagonal(gram_nn)
    trace_squared = _mean_squared_contrast(gram_nn) / 4
    if trace_squared <= (1e-14 * float(gram_nn.diagonal().mean())) ** 2:
        return math.copysign(math.inf, off)
    return off * math.sqrt(n * (n - 1) / (2 * trace_squared))


def _mean_off_diagonal(gram_nn: Entries) -> float:
    n = len(gram_nn)
    return float(gram_nn.sum() - gram_nn.trace()) / (n * (n - 1))


def _mean_squared_contrast(gram_nn: Entries) -> float:
    """Mean over distinct i, j, k, l of ((V_i - V_k)·(V_j - V_l))², in n² operations.

    Multiplied out, the square is a sum over pairs of entries O_ij of the matrix without its diagonal. They are
    the same (S), share one index (P) or none (Q), and each of these sums follows from the row sums. The
    contrast does not change when a constant is taken from all entries, so the mean is: that keeps cancellation
    small.
    """
    n = len(gram_nn)
    off_nn = gram_nn - _mean_off_diagonal(gram_nn)
    np.fill_diagonal(off_nn, 0)
    same = float((off_nn**2).sum())
    share_one = float((off_nn.sum(1) ** 2).sum()) - same
    share_none = float(off_nn.sum()) ** 2 - 2 * same - 4 * share_one
    total = 4 * same * (n - 2) * (n - 3) - 8 * share_one * (n - 3) + 4 * share_none
    return max(total, 0.0) / (n * (n - 1) * (n - 2) * (n - 3))


def _entries(gram_nn: Gram | Entries) -> Entries:
    if len(gram_nn) == 0:
        raise ValueError("a path needs at least one increment, got an empty window")
    return gram_nn.detach().numpy() if isinstance(gram_nn, Tensor) else gram_nn
