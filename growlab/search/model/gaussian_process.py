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
from scipy.linalg.lapack import dpotrf, dpotri, dtrtri

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
    noisy = alike.copy()
    noise = np.full(len(alike), found.noise + _JITTER * found.signal)
    if doubts is not None:
        noise[: len(doubts)] += doubts
    noisy[np.diag_indices(len(alike))] += noise
    return noisy


def _inverse(factor: Array) -> Array:
    """The inverse of a matrix, from its Cholesky factor; a third of the work of solving for it."""
    found, failed = dpotri(factor, lower=1)
    assert failed == 0, failed
    lower = np.tril(found)
    inverse: Array = lower + np.tril(found, -1).T
    return inverse


def _whitening(covariance: Array) -> Array:
    """The inverse of the lower Cholesky factor of a covariance, which is overwritten: L⁻¹ with L Lᵀ the covariance."""
    factor, failed = dpotrf(covariance.T, overwrite_a=1)
    assert failed == 0, failed
    inverse, failed = dtrtri(factor, overwrite_c=1)
    assert failed == 0, failed
    found: Array = inverse.T
    return found


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
        self._whitening = _whitening(_noisy(alike, found, doubts))
        self._values, known = values, self._whitening[:n, :n]
        ones, whitened = known @ np.ones(n), known @ values
        self._mean = float(ones @ whitened / (ones @ ones))
        self._sums = known.T @ ones  # of the rows of the inverse of the covariance of what was observed
        self._weights = known.T @ (whitened - self._mean * ones)
        self.fitted = self._mean + alike[:n, :n] @ self._weights  # what is expected where it was tried, (n)
        assert len(alike) == n + n_pending

    def _alike(self, weighted: Array, shape: Array | None) -> Array:
        """Covariances of m configurations with those of the process, from weighted distances (m, n + pending)."""
        alike: Array = np.negative(weighted)
        np.exp(alike, out=alike)
        alike *= self._found.signal
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
        explained = alike @ self._whitening.T
        before = self._found.signal if shape is None else self._found.signal + SLOPE**2 * shape**2
        variance = before - (explained**2).sum(axis=1)
        return mean, np.sqrt(np.maximum(variance, 1e-10 * self._found.signal))

    def combined(
        self, weighted: Array, among: Array, weights: Array, shape: Array | None = None
    ) -> tuple[float, float]:
        """Mean and standard deviation of a sum of values at m configurations, without noise, by `weights` (m).

        From weighted distances to those that were tried (m, n + pending), and among each other (m, m).
        """
        alike, n = self._alike(weighted, shape), len(self._values)
        mean = float(weights @ (self._mean + alike[:, :n] @ self._weights))
        explained = self._whitening @ (weights @ alike)
        sloped = 0.0 if shape is None else SLOPE**2 * float(weights @ shape) ** 2
        before = self._found.signal * float(weights @ np.exp(-among) @ weights) + sloped
        return mean, math.sqrt(max(before - float(explained @ explained), 0.0))

    def left_out(self) -> Array:
        """What is expected of each tried configuration from all the others, (n); the mean is theirs, too."""
        n, sums = len(self._values), self._sums
        diagonal = (self._whitening[:n, :n] ** 2).sum(axis=0)  # of the same inverse
        found: Array = self._values - self._weights / (diagonal - sums**2 / sums.sum())
        return found
