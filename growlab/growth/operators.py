"""Growth operators: the weights of a new unit, tensor by tensor, from the path of a unit of the same kinds.

    aiether       W_last + β·unit(P v̄) + γ·unit(P ā) + η·escape, η gated     (the founding formula)
    aiether-code  the same with P v̄ and P ā as they are and η ungated       (what its code computed)
    copy-last     the weights of the source unit
    identity      the fresh initialisation stays; its out-projections are zero

Source of the first two: AIether technical report and code, restated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from growlab.geometry.gram import Gram, in_float64
from growlab.geometry.subspace import Coefficients, Directions, principal_directions, project, unit
from growlab.geometry.trajectory import kappa, tau
from growlab.registry import Registry
from growlab.specs import GrowthSpec

_EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class TensorPath:
    """One tensor's window: n increments of its shape, their Gram matrix and the newest snapshot."""

    last: Tensor
    increments: Sequence[Tensor]
    gram: Gram

    def combine(self, coefficients_n: Coefficients) -> Tensor:
        """W_last + Σ c_i V_i, accumulated in float64, in the snapshot's dtype."""
        total = in_float64(self.last)
        for coefficient, increment in zip(coefficients_n.tolist(), self.increments, strict=True):
            total = total + coefficient * in_float64(increment)
        return total.to(self.last)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """`extrapolate(path, spec)` gives the new tensor; None marks an operator that keeps the fresh one."""

    name: str
    summary: str
    extrapolate: Callable[[TensorPath, GrowthSpec], Tensor] | None


OPERATORS: Registry[Operator] = Registry("growth operator")


def register_operator(
    name: str, summary: str
) -> Callable[[Callable[[TensorPath, GrowthSpec], Tensor]], Callable[[TensorPath, GrowthSpec], Tensor]]:
    """Decorator for a function (path, spec) → new tensor."""

    def add(function: Callable[[TensorPath, GrowthSpec], Tensor]) -> Callable[[TensorPath, GrowthSpec], Tensor]:
        OPERATORS.add(name, Operator(name=name, summary=summary, extrapolate=function))
        return function

    return add


OPERATORS.add("identity", Operator(name="identity", summary="fresh weights, zero out-projections", extrapolate=None))


@register_operator("copy-last", "the source unit's newest snapshot")
def copy_last(path: TensorPath, spec: GrowthSpec) -> Tensor:
    return path.last.clone()


@register_operator("aiether", "trajectory extrapolation, unit vectors, gated escape")
def aiether(path: TensorPath, spec: GrowthSpec) -> Tensor:
    """W_last + β·unit(P_k v̄) + γ·unit(P_k ā) + η·v_esc, η = η0·max(0, τ - τ_crit)·max(0, κ - κ_crit)."""
    stretch, curvature = _tau_and_kappa(path)
    if stretch is None:
        return path.last.clone()
    modes = _Modes(path, spec, principal_directions(path.gram))
    eta = spec.eta0 * max(0.0, stretch - spec.tau_crit) * max(0.0, curvature - spec.kappa_crit)
    velocity, acceleration = (unit(path.gram, each) for each in (modes.velocity(), modes.acceleration()))
    return path.combine(_weighted(spec, stretch, curvature, velocity, acceleration, eta * modes.escape()))


@register_operator("aiether-code", "as the founding project's code: raw projections, ungated escape")
def aiether_code(path: TensorPath, spec: GrowthSpec) -> Tensor:
    """W_last + β·P_k v̄ + γ·P_k ā + η·v_esc, η = η0·τ·κ; for 1-D tensors v̄ and ā whole and no escape."""
    stretch, curvature = _tau_and_kappa(path)
    if stretch is None:
        return path.last.clone()
    modes = _Modes(path, spec, principal_directions(path.gram))
    if path.last.dim() == 1:
        return path.combine(_weighted(spec, stretch, curvature, modes.mean_n, modes.second_n, torch.zeros(modes.n)))
    eta = spec.eta0 * stretch * curvature
    escape = eta * modes.escape()
    return path.combine(_weighted(spec, stretch, curvature, modes.velocity(), modes.acceleration(), escape))


def _tau_and_kappa(path: TensorPath) -> tuple[float | None, float]:
    """(τ, κ); (None, 0) when nothing moved. A closed path counts as a random walk of n steps, √n for both.

    Its own inf would make the escape term infinite.
    """
    if len(path.increments) == 0:
        return None, 0.0
    stretch, curvature = tau(path.gram), kappa(path.gram)
    if stretch is None or curvature is None:
        return None, 0.0
    random_walk = math.sqrt(len(path.increments))
    return (random_walk if math.isinf(stretch) else stretch), (random_walk if math.isinf(curvature) else curvature)


def _weighted(
    spec: GrowthSpec,
    stretch: float,
    curvature: float,
    velocity_n: Coefficients,
    acceleration_n: Coefficients,
    escape_n: Coefficients,
) -> Coefficients:
    beta = spec.beta0 / (stretch + _EPSILON)
    gamma = spec.gamma0 / (1 + curvature)
    return beta * velocity_n + gamma * acceleration_n + escape_n


class _Modes:
    """The founding formula's vectors, as coefficients over the increments.

    A steady pace (or a single increment) has no directions once its mean is removed: v̄ and ā are taken whole.
    """

    def __init__(self, path: TensorPath, spec: GrowthSpec, directions: Directions) -> None:
        self.gram, self.n = path.gram, path.gram.shape[0]
        self.mean_n = torch.full((self.n,), 1 / self.n, dtype=torch.float64)
        self.second_n = torch.zeros(self.n, dtype=torch.float64)
        if self.n >= 2:  # the mean of second differences telescopes
            self.second_n[-1], self.second_n[0] = 1 / (self.n - 1), -1 / (self.n - 1)
        k, ell = spec.k_subspace, spec.ell_orth
        self.dominant_nk = directions.coefficients[:, :k]
        self.secondary_nl = directions.coefficients[:, k : k + ell]
        self.secondary_sigma_l = directions.singular_values[k : k + ell]

    def velocity(self) -> Coefficients:
        return self._projected(self.mean_n)

    def acceleration(self) -> Coefficients:
        return self._projected(self.second_n)

    def escape(self) -> Coefficients:
        """unit(Σ σ_j q_j) over the ℓ modes after the k-th; 0 if no mode is left."""
        return unit(self.gram, self.secondary_nl @ self.secondary_sigma_l)

    def _projected(self, vector_n: Coefficients) -> Coefficients:
        return project(self.gram, self.dominant_nk, vector_n) if self.dominant_nk.shape[1] else vector_n
