"""A Gaussian process with a constant mean over the kernel of `kernel`, and how its hyperparameters are learnt.

Where a shape is known beforehand, a number for each configuration, the mean is a constant and some multiple of it:
value = constant + slope · shape + process + noise, the slope normal around 0 with the sd SLOPE. What the values say of
the slope is in every prediction, and how unsure that is too: the process has shape ⊗ shape · SLOPE² in its covariance.

Where some values are less sure than others (`doubts`, a variance for each), theirs is added to the noise.

The hyperparameters are those of the highest posterior density: marginal likelihood times log-normal priors, climbed by
Rprop, which looks at the signs of derivatives alone, and so does not feel the last digit of a sum.

Source: Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", 2.25, 2.40, 2.42, 5.9 and 5.12;
Riedmiller & Braun 1993 (Rprop).

Legend: n configurations that were tried, m that are asked about, g groups.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotri

from growlab.search.model.encoding import Array
from growlab.search.model.kernel import Prior

STEPS = 40  # of Rprop
SLOPE = 1.0  # prior sd of the multiple of a known shape, both of variance 1
REACH = 2.5  # standard deviations of the prior within which a hyperparameter is looked for, in log
_JITTER = 1e-8  # of the signal, so that configurations tried twice leave the matrix invertible


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """How much each group matters, how much the objective varies and how much of a value is noise, of variance 1."""

    relevances: Array
    signal: float
    noise: float

    @classmethod
    def of(cls, logs: Array) -> "Hyperparameters":
        return cls(np.exp(logs[:-2]), math.exp(logs[-2]), math.exp(logs[-1]))


def learn(
    distances: Array, values: Array, prior: Prior, shape: Array | None = None, doubts: Array | None = None
) -> Hyperparameters:
    """Hyperparameters for group distances (g, n, n) and values (n) of mean 0 and variance 1.

    A known shape is (n), and so are doubts.
    """
    logs, step, before = prior.mean.copy(), np.full(prior.mean.shape, 0.3), np.zeros(prior.mean.shape)
    best_loss, best = math.inf, logs
    for _ in range(STEPS):
        loss, slope = _loss(logs, distances, values, prior, shape, doubts)
        if loss < best_loss - 1e-9:
            best_loss, best = loss, logs
        agree = np.sign(slope) * np.sign(before)
        step = np.clip(np.where(agree > 0, 1.2 * step, np.where(agree < 0, 0.5 * step, step)), 0.01, 1.0)
        slope = np.where(agree < 0, 0.0, slope)
        logs = np.clip(logs - np.sign(slope) * step, prior.mean - REACH, prior.mean + REACH)
        before = slope
    return Hyperparameters.of(best)


def _loss(
    logs: Array,
    distances: Array,
    values: Array,
    prior: Prior,
    shape: Array | None = None,
    doubts: Array | None = None,
) -> tuple[float, Array]:
    """The negative log posterior density of hyperparameters, but for a constant, and its derivatives."""
    found = Hyperparameters.of(logs)
    alike = found.signal * np.exp(-np.tensordot(found.relevances, distances, 1))
    joint = alike if shape is None else alike + _sloped(shape, shape)
    factor = np.linalg.cholesky(_noisy(joint, found, doubts))
    inverse = _inverse(factor)
    weights = inverse @ (values - _mean(inverse, values))
    away = (logs - prior.mean) / prior.sd
    loss = 0.5 * (values - _mean(inverse, values)) @ weights + np.log(np.diag(factor)).sum() + 0.5 * (away**2).sum()
    of_matrix = 0.5 * (inverse - np.outer(weights, weights))
    of_alike = of_matrix * alike
    of_relevances = -found.relevances * np.tensordot(distances, of_alike, 2)
    slope = np.array([*of_relevances, of_alike.sum(), found.noise * np.trace(of_matrix)])
    return float(loss), slope + away / prior.sd


def _noisy(alike: Array, found: Hyperparameters, doubts: Array | None) -> Array:
    """The covariance of what is observed, doubts being those of the first rows."""
    n = len(alike)
    noisy: Array = alike + (found.noise + _JITTER * found.signal) * np.eye(n)
    if doubts is not None:
        at = np.arange(len(doubts))
        noisy[at, at] += doubts
    return noisy


def _inverse(factor: Array) -> Array:
    """The inverse of a matrix, from its Cholesky factor; a third of the work of solving for it."""
    found, failed = dpotri(factor, lower=1)
    assert failed == 0, failed
    lower = np.tril(found)
    inverse: Array = lower + np.tril(found, -1).T
    return inverse


def _mean(inverse: Array, values: Array) -> float:
    """The mean of the process, as generalised least squares have it."""
    weights = inverse.sum(axis=0)
    return float(weights @ values / weights.sum())


def _sloped(some: Array, others: Array) -> Array:
    """The covariance that configurations have by their shapes."""
    return SLOPE**2 * np.outer(some, others)


class Posterior:
    """The process, given values at n configurations."""

    def __init__(
        self,
        weighted: Array,
        values: Array,
        hyperparameters: Hyperparameters,
        n_pending: int = 0,
        shape: Array | None = None,
        doubts: Array | None = None,
    ) -> None:
        """From weighted distances (n, n), values and, where one is known, the shape (n): then it is asked for always.

        The last `n_pending` rows of `weighted` have no value: they are being tried. Their values are taken to be what
        is expected of them, which leaves every mean as it is, and makes the process surer near them.
        """
        self._found, self._shape = hyperparameters, shape
        found, n = hyperparameters, len(values)
        alike = self._alike(weighted, shape)
        self._factor = np.linalg.cholesky(_noisy(alike, found, doubts))
        self._inverse = _inverse(self._factor[:n, :n])
        self._values = values
        self._mean = _mean(self._inverse, values)
        self._weights = self._inverse @ (values - self._mean)
        self.fitted = self._mean + alike[:n, :n] @ self._weights  # what is expected where it was tried, (n)
        assert len(alike) == n + n_pending

    def _alike(self, weighted: Array, shape: Array | None) -> Array:
        """Covariances of m configurations with those of the process, from weighted distances (m, n + pending)."""
        alike: Array = self._found.signal * np.exp(-weighted)
        return alike if shape is None or self._shape is None else alike + _sloped(shape, self._shape)

    def expected(self, weighted: Array, shape: Array | None = None) -> Array:
        """The mean at m configurations, each the same number whichever others are asked about with it."""
        alike = self._alike(weighted, shape)[:, : len(self._values)]
        mean: Array = self._mean + (alike * self._weights).sum(axis=1)
        return mean

    def predict(self, weighted: Array, shape: Array | None = None) -> tuple[Array, Array]:
        """Mean and standard deviation without noise at m configurations, from weighted distances (m, n + pending)."""
        alike = self._alike(weighted, shape)
        n = len(self._values)
        mean = self._mean + alike[:, :n] @ self._weights
        explained = solve_triangular(self._factor, alike.T, lower=True, check_finite=False)
        before = self._found.signal if shape is None else self._found.signal + SLOPE**2 * shape**2
        variance = before - (explained**2).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 1e-10 * self._found.signal))

    def combined(
        self, weighted: Array, among: Array, weights: Array, shape: Array | None = None
    ) -> tuple[float, float]:
        """Mean and standard deviation of a sum of values at m configurations, without noise, by `weights` (m).

        From weighted distances to those that were tried (m, n + pending), and among each other (m, m).
        """
        alike, n = self._alike(weighted, shape), len(self._values)
        mean = float(weights @ (self._mean + alike[:, :n] @ self._weights))
        explained = solve_triangular(self._factor, alike.T @ weights, lower=True, check_finite=False)
        sloped = 0.0 if shape is None else SLOPE**2 * float(weights @ shape) ** 2
        before = self._found.signal * float(weights @ np.exp(-among) @ weights) + sloped
        return mean, math.sqrt(max(before - float(explained @ explained), 0.0))

    def left_out(self) -> Array:
        """What is expected of each tried configuration from all the others, (n); the mean is theirs, too."""
        rows = self._inverse.sum(axis=0)
        found: Array = self._values - self._weights / (np.diag(self._inverse) - rows**2 / rows.sum())
        return found
