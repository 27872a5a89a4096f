"""Principal directions of the velocities, each as coefficients over the increments: q = Σ_i c_i V_i.

Everything a growth operator needs is such a combination, so inner products are cᵀ G d, and only the
final one is ever formed with D entries.

Legend: n increments, r directions, D entries of an increment.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.geometry.gram import Gram

Coefficients = Float[Tensor, " n"]

# Eigenvalues of the Gram matrix are squared singular values: below this share of the trace their directions
# are not orthonormal to 1e-5 any more.
_RANK_TOLERANCE = 1e-10
# An inner product in the Gram matrix carries 1e-16 of its trace, so a length its root.
_ROUNDING_OF_PRODUCTS = 1e-12
_ROUNDING_OF_LENGTHS = 1e-7
_ENERGY = 0.9  # of what is above the noise: the least that a subspace must hold


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Orthonormal directions, r of them by falling singular value, 0 ≤ r ≤ n; r ≤ n - 1 when centred."""

    singular_values: Float[Tensor, " r"]
    coefficients: Float[Tensor, "n r"]


def principal_directions(gram_nn: Gram, *, centred: bool = True) -> Directions:
    """Right singular vectors of the n × D velocity matrix, its mean row removed if `centred`.

    They are the eigenpairs of H G H (or G), H = I - 11ᵀ/n. The sign is fixed: <q, Δ> ≥ 0, and where that
    vanishes the (first of the) largest coefficients is positive; so results do not depend on the machine.
    """
    n = gram_nn.shape[0]
    centring_nn = torch.eye(n, dtype=gram_nn.dtype)
    if centred:
        centring_nn = centring_nn - 1 / n
    inner_nn = centring_nn @ gram_nn @ centring_nn
    eigenvalues, vectors_nn = torch.linalg.eigh((inner_nn + inner_nn.T) / 2)
    eigenvalues, vectors_nn = eigenvalues.flip(0), vectors_nn.flip(1)
    kept = eigenvalues > _RANK_TOLERANCE * gram_nn.diagonal().sum()
    sigma_r = eigenvalues[kept].sqrt()
    coefficients_nr = centring_nn @ vectors_nn[:, kept] / sigma_r
    return Directions(singular_values=sigma_r, coefficients=coefficients_nr * _signs(gram_nn, coefficients_nr, sigma_r))


def modes_above_noise(singular_values: Float[Tensor, " r"], n_entries: int) -> int:
    """Count the leading directions, at least 1 of r, that are more than noise, in a spectrum that falls.

    1. Floor, the most: those above ω(β) times the median, β = r/D, which is the threshold of least squared error for
       noise of unknown size in r vectors of D independent numbers. It takes more than half of them to be noise.
    2. Energy, the least: the fewest that have 0.9 of the sum of squares of those above the floor.
    3. Gap: between the two, as many as lie above the widest gap, σ_k / σ_(k+1).
    Where none is above the floor, 1.
    Source: Gavish and Donoho 2014, "The optimal hard threshold for singular values is 4/√3", equation 5.
    """
    r = len(singular_values)
    beta = min(r / n_entries, n_entries / max(r, 1))
    floor = (0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43) * float(singular_values.median()) if r else 0.0
    most = int((singular_values > floor).sum())  # fewer than r, as the median is not above its 1.43-fold
    if most == 0:
        return 1
    energy_k = singular_values[:most].square().cumsum(0)
    least = 1 + int((energy_k < _ENERGY * energy_k[-1]).sum())
    gaps = singular_values[least - 1 : most] / singular_values[least : most + 1]
    return least + int(gaps.argmax())


def project(gram_nn: Gram, directions_nr: Float[Tensor, "n r"], vector_n: Coefficients) -> Coefficients:
    """Project a vector on the span of orthonormal directions: P v."""
    return directions_nr @ (directions_nr.T @ gram_nn @ vector_n)


def norm(gram_nn: Gram, vector_n: Coefficients) -> float:
    """The length √(cᵀ G c) of a vector with coefficients c."""
    return float((vector_n @ gram_nn @ vector_n).clamp(min=0).sqrt())


def normalise(gram_nn: Gram, vector_n: Coefficients) -> Coefficients:
    """Scale a vector to length 1; a vector that is 0 (to rounding) stays 0."""
    length = norm(gram_nn, vector_n)
    scale = float(gram_nn.diagonal().clamp(min=0).sqrt().max())
    return vector_n / length if length > _ROUNDING_OF_LENGTHS * scale else torch.zeros_like(vector_n)


def _signs(gram_nn: Gram, coefficients_nr: Float[Tensor, "n r"], sigma_r: Float[Tensor, " r"]) -> Float[Tensor, " r"]:
    towards_end_r = coefficients_nr.T @ gram_nn.sum(1)
    size_nr = coefficients_nr.abs()
    first_largest_r = (size_nr > (1 - 1e-6) * size_nr.amax(0)).int().argmax(0)
    largest_r = coefficients_nr.gather(0, first_largest_r[None])[0]
    undecided_r = towards_end_r.abs() <= _ROUNDING_OF_PRODUCTS * gram_nn.diagonal().sum() / sigma_r
    return torch.where(torch.where(undecided_r, largest_r, towards_end_r) < 0, -1.0, 1.0).to(gram_nn.dtype)
