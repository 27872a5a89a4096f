"""Trajectory extrapolation by the founding formula, twice: as its report says, and as its code computed.

    aiether       W_last + β·normalise(P v̄) + γ·normalise(P ā) + η·escape, η gated by how far τ and κ exceed their
                  critical values
    aiether-code  the same with P v̄ and P ā as they are and η ungated

Legend: n increments, k and l modes; *shape the tensor's own.
Source: AIether technical report and code, restated.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.domains import Range
from growlab.geometry.gram import Gram
from growlab.geometry.subspace import Coefficients, modes_above_noise, normalise, principal_directions, project
from growlab.geometry.trajectory import kappa, tau
from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import OperatorOptions, register_operator
from growlab.scalar import scalar

_EPSILON = 1e-8
FIXED, SPECTRUM = "fixed", "spectrum"
_TAU_CRIT, _KAPPA_CRIT = 2.0, 0.5  # of the report, where the trigger has none of its own


@dataclass(frozen=True, kw_only=True)
class AietherOptions(OperatorOptions):
    """Gains and sizes of the formula.

    Of k + ell modes, as a window of S snapshots has centred increments of rank S - 2.
    """

    beta0: float = scalar(0.1, at_least=0, search=Range(low=0.05, high=0.5), help="gain of the linear velocity term")
    gamma0: float = scalar(0.15, at_least=0, search=Range(low=0.05, high=0.3), help="gain of the curvature correction")
    eta0: float = scalar(0.03, at_least=0, search=Range(low=0.01, high=0.1), help="gain of the orthogonal escape term")
    k_subspace: int = scalar(
        10, at_least=1, search=Range(low=5, high=30), help="dimension of the dynamic subspace, at most"
    )
    k_rule: str = scalar(
        FIXED,
        choices=(FIXED, SPECTRUM),
        since="0.1.0",
        before=FIXED,
        help="that dimension: fixed (k_subspace) | spectrum (of each tensor's window, up to k_subspace: the singular "
        "values above a floor of noise, at least 0.9 of their energy, cut at the widest gap)",
    )
    ell_orth: int = scalar(
        5, at_least=1, search=Range(low=3, high=10), help="number of secondary modes in the escape direction"
    )

    def fitted(self, window: int, drawn: Collection[str]) -> "AietherOptions":
        """Cut k_subspace and ell_orth so that the escape term stands for something, where a sampler chose them."""
        drawn, rank = set(drawn), _centred_rank(window)
        k, ell = self.k_subspace, self.ell_orth
        if drawn & {"k_subspace", "history_window_size"}:
            k = min(k, max(1, rank - 1))
        if drawn & {"k_subspace", "history_window_size", "ell_orth"}:
            ell = min(ell, max(1, rank - k))
        return replace(self, k_subspace=k, ell_orth=ell)

    def dead_terms(self, window: int) -> str:
        if self.k_subspace < _centred_rank(window) or self.k_rule == SPECTRUM:
            return ""
        return (
            f"growth.k_subspace {self.k_subspace} with growth.history_window_size {window} leaves no escape direction "
            f"(the centred window has rank {_centred_rank(window)}); the term is dead"
        )


def _centred_rank(window: int) -> int:
    """The rank of centred increments: S snapshots give S - 1 of them, and centring leaves S - 2."""
    return window - 2


def founding_step(
    gram: Gram, options: AietherOptions, critical: Mapping[str, float], *, n_entries: int
) -> Coefficients:
    """The step from the newest snapshot by the formula of `aiether`, over the increments; 0 where nothing moved.

    `n_entries` is the number of entries of the tensor whose Gram matrix this is.
    """
    stretch, curvature = _tau_and_kappa(gram)
    if stretch is None:
        return torch.zeros(len(gram), dtype=torch.float64)
    modes = _Modes(gram, options, n_entries)
    tau_crit, kappa_crit = critical.get("tau", _TAU_CRIT), critical.get("kappa", _KAPPA_CRIT)
    eta = options.eta0 * max(0.0, stretch - tau_crit) * max(0.0, curvature - kappa_crit)
    velocity, acceleration = (normalise(gram, vector) for vector in (modes.velocity(), modes.acceleration()))
    return _weighted(options, stretch, curvature, velocity, acceleration, eta * modes.escape())


@register_operator(
    "aiether", "trajectory extrapolation, unit vectors, gated escape", options=AietherOptions, searched=True
)
@tensor_by_tensor
def aiether(path: TensorPath, options: AietherOptions, source: Source) -> Float[Tensor, "*shape"]:
    """Extrapolate to W_last + β·normalise(P_k v̄) + γ·normalise(P_k ā) + η·v_esc.

    η = η0·max(0, τ - τ_crit)·max(0, κ - κ_crit).
    """
    return path.combine(founding_step(path.gram, options, source.critical, n_entries=path.last.numel()))


@register_operator(
    "aiether-code", "as the founding project's code: raw projections, ungated escape", options=AietherOptions
)
@tensor_by_tensor
def aiether_code(path: TensorPath, options: AietherOptions, source: Source) -> Float[Tensor, "*shape"]:
    """Extrapolate to W_last + β·P_k v̄ + γ·P_k ā + η·v_esc, η = η0·τ·κ; for 1-D tensors v̄ and ā whole and no escape."""
    stretch, curvature = _tau_and_kappa(path.gram)
    if stretch is None:
        return path.last.clone()
    modes = _Modes(path.gram, options, path.last.numel())
    if path.last.dim() == 1:
        nothing_n = torch.zeros(modes.n)
        return path.combine(_weighted(options, stretch, curvature, modes.mean_n, modes.second_n, nothing_n))
    eta = options.eta0 * stretch * curvature
    escape = eta * modes.escape()
    return path.combine(_weighted(options, stretch, curvature, modes.velocity(), modes.acceleration(), escape))


def _tau_and_kappa(gram: Gram) -> tuple[float | None, float]:
    """Read (τ, κ) off a path; (None, 0) when nothing moved.

    A closed path counts as a random walk of n steps, √n for both.

    Its own inf would make the escape term infinite.
    """
    if len(gram) == 0:
        return None, 0.0
    stretch, curvature = tau(gram), kappa(gram)
    if stretch is None or curvature is None:
        return None, 0.0
    random_walk = math.sqrt(len(gram))
    return (random_walk if math.isinf(stretch) else stretch), (random_walk if math.isinf(curvature) else curvature)


def _weighted(
    options: AietherOptions,
    stretch: float,
    curvature: float,
    velocity_n: Coefficients,
    acceleration_n: Coefficients,
    escape_n: Coefficients,
) -> Coefficients:
    beta = options.beta0 / (stretch + _EPSILON)
    gamma = options.gamma0 / (1 + curvature)
    return beta * velocity_n + gamma * acceleration_n + escape_n


class _Modes:
    """The founding formula's vectors, as coefficients over the increments.

    A steady pace (or a single increment) has no directions once its mean is removed: v̄ and ā are taken whole.
    """

    def __init__(self, gram: Gram, options: AietherOptions, n_entries: int) -> None:
        self.gram, self.n = gram, len(gram)
        self.mean_n = torch.full((self.n,), 1 / self.n, dtype=torch.float64)
        self.second_n = torch.zeros(self.n, dtype=torch.float64)
        if self.n >= 2:  # the mean of second differences telescopes
            self.second_n[-1], self.second_n[0] = 1 / (self.n - 1), -1 / (self.n - 1)
        directions, k, ell = principal_directions(gram), options.k_subspace, options.ell_orth
        if options.k_rule == SPECTRUM:
            k = min(k, modes_above_noise(directions.singular_values, n_entries))
        self.dominant_nk = directions.coefficients[:, :k]
        self.secondary_nl = directions.coefficients[:, k : k + ell]
        self.secondary_sigma_l = directions.singular_values[k : k + ell]

    def velocity(self) -> Coefficients:
        return self._projected(self.mean_n)

    def acceleration(self) -> Coefficients:
        return self._projected(self.second_n)

    def escape(self) -> Coefficients:
        """The direction normalise(Σ σ_j q_j) of the ℓ modes after the k-th; 0 if no mode is left."""
        return normalise(self.gram, self.secondary_nl @ self.secondary_sigma_l)

    def _projected(self, vector_n: Coefficients) -> Coefficients:
        return project(self.gram, self.dominant_nk, vector_n) if self.dominant_nk.shape[1] else vector_n
