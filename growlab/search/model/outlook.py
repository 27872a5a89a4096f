"""What the past of a study says of configurations that nobody tried: how good each will be, and whether it will run.

A function of the past alone. The model rests on at most MOST_TRIALS of the finished trials, its hyperparameters on at
most MOST_LEARNT of those whose numbers are below the last milestone (8, 12, 18, … × 1.5) that as many trials as are
over have come to, so that they stay for a while; both are chosen by number and value, whatever order they came in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import ndtr

from growlab.search.configuration import Configuration
from growlab.search.model.encoding import Array, Codes, Encoding
from growlab.search.model.gaussian_process import Hyperparameters, Posterior, learn
from growlab.search.model.kernel import group_distances, prior_of, weighted_distance

MOST_TRIALS = 500  # that predictions rest on
MOST_LEARNT = 200  # that hyperparameters are learnt from
MOST_PENDING = 200  # running trials that are taken into account, the newest
LEAST = 4  # finished trials, below which nothing is learnt
MIN_CORRELATION = 0.2  # of predictions with what was measured, up to which a model predicts nothing
FIRST_MILESTONE, BETWEEN = 8, 1.5
GOLDEN = 0x9E3779B1  # 2**32 over the golden ratio: its multiples are spread evenly over 32 bits
OUTLIERS = 3.0  # what is further above the median than so many widths is taken to be that far
DOUBT = 0.2  # variance that is added to a prediction of failure: labels are no measurements


Shape = Callable[[Sequence[Configuration]], Array]  # a number for each, the same whichever others are asked about


@dataclass(frozen=True)
class Tried:
    """A trial that is over, or that runs."""

    number: int
    configuration: Configuration
    value: float  # the objective; inf of what failed, nan of what runs
    sd: float = 0.0  # of a value that is expected of what waits at a rung


@dataclass(frozen=True)
class Outlook:
    """Predictions on the scale of the objective."""

    encoding: Encoding
    good: Sequence[Tried]  # those that reached an objective, on which the model rests, by number
    hyperparameters: Hyperparameters
    _posterior: Posterior
    _configurations: Sequence[Configuration]  # of the good and of those that run
    _centre: float
    _spread: float
    _failing: "Failing | None"
    _shape: Shape | None = None  # that another study found

    @property
    def expected(self) -> Array:
        """What is expected where it was tried, for each good trial: its value without its noise."""
        found: Array = self._centre + self._spread * self._posterior.fitted
        return found

    def predict(self, asked: Sequence[Configuration]) -> tuple[Array, Array, Array]:
        """Mean and standard deviation of the objective without noise, and the probability that it will be reached."""
        mean, sd = self._posterior.predict(self._distances(asked), self._shapes(asked))
        runs = np.ones(len(asked)) if self._failing is None else self._failing.survival(asked)
        return self._centre + self._spread * mean, self._spread * sd, runs

    def standard(self, asked: Sequence[Configuration]) -> Array:
        """What is expected of each, of mean 0 and variance 1 over the good trials."""
        return self._posterior.expected(self._distances(asked), self._shapes(asked))

    def _distances(self, asked: Sequence[Configuration]) -> Array:
        codes = self.encoding.encode(asked)
        return weighted_distance(self.encoding, codes, self._codes, self.hyperparameters.relevances)

    @cached_property
    def _codes(self) -> Codes:
        return self.encoding.encode(self._configurations)

    def _shapes(self, asked: Sequence[Configuration]) -> Array | None:
        return None if self._shape is None else self._shape(asked)

    def combined(self, asked: Sequence[Configuration], weights: Sequence[float]) -> tuple[float, float]:
        """Mean and standard deviation of a sum of objectives by weights that add up to 0, such as a difference."""
        codes = self.encoding.encode(asked)
        among = weighted_distance(self.encoding, codes, codes, self.hyperparameters.relevances)
        mean, sd = self._posterior.combined(self._distances(asked), among, np.array(weights), self._shapes(asked))
        return self._spread * mean, self._spread * sd

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of values and what each is expected to be from all others: how well it predicts."""
        values = np.array([trial.value for trial in self.good])
        left_out = _ranks(np.round(self._posterior.left_out(), 6))
        ranks = _ranks(values)
        if np.ptp(left_out) == 0 or np.ptp(ranks) == 0:
            return 0.0
        return float(np.corrcoef(left_out, ranks)[0, 1])


def _ranks(values: Array) -> Array:
    """Ranks from 1 on, of equal values their mean. (To load scipy.stats, which has this, takes half a second.)"""
    _, place, n_equal = np.unique(values, return_inverse=True, return_counts=True)
    found: Array = (np.cumsum(n_equal) - (n_equal - 1) / 2)[place]
    return found


@dataclass(frozen=True)
class Failing:
    """A model of the same kind of what failed (1) and what did not (0)."""

    encoding: Encoding
    hyperparameters: Hyperparameters
    _posterior: Posterior
    _configurations: Sequence[Configuration]

    def survival(self, asked: Sequence[Configuration]) -> Array:
        """The probability that each will reach an objective."""
        weighted = weighted_distance(
            self.encoding,
            self.encoding.encode(asked),
            self.encoding.encode(self._configurations),
            self.hyperparameters.relevances,
        )
        mean, sd = self._posterior.predict(weighted)
        found: Array = ndtr((0.5 - _LABELS_CENTRE - mean) / np.sqrt(sd**2 + DOUBT**2))
        return found


def look_ahead(encoding: Encoding, tried: Sequence[Tried], shape: Shape | None = None) -> Outlook:
    """The outlook after these trials, at least two of which reached different objectives.

    `shape` is what another study found.
    """
    finished = [trial for trial in tried if math.isfinite(trial.value)]
    good = chosen(finished, MOST_TRIALS)
    pending = [trial.configuration for trial in tried if math.isnan(trial.value)][-MOST_PENDING:]
    milestone = _milestone(tried)
    learnt = chosen([trial for trial in finished if trial.number < milestone], MOST_LEARNT) or good
    centre, spread, values = _normalised(good)
    found = _learnt(encoding, tuple(learnt), shape)
    configurations = [*(trial.configuration for trial in good), *pending]
    weighted = _distances(encoding, found).among(configurations)
    shapes = None if shape is None else shape(configurations)
    return Outlook(
        encoding=encoding,
        good=good,
        hyperparameters=found,
        _posterior=Posterior(
            weighted, values, found, n_pending=len(pending), shape=shapes, doubts=_doubts(good, spread)
        ),
        _configurations=configurations,
        _centre=centre,
        _spread=spread,
        _failing=_failures(encoding, tried),
        _shape=shape,
    )


def chosen(trials: Sequence[Tried], most: int) -> list[Tried]:
    """At most so many trials: a half the best ones, a quarter the newest, the rest spread evenly over the others."""
    numbers = np.array([trial.number for trial in trials], dtype=np.int64)
    if len(trials) <= most:
        return [trials[at] for at in np.argsort(numbers)]
    values = np.array([trial.value for trial in trials])
    by_value = np.lexsort((numbers, values))
    best, rest = by_value[: most // 2], by_value[most // 2 :]
    rest = rest[np.argsort(numbers[rest])]
    newest, older = rest[-(most // 4) :], rest[: -(most // 4)]
    scattered = numbers[older] * GOLDEN % (1 << 32)  # so that few of them are others after the next trial
    spread = older[np.argsort(scattered)[: most - len(best) - len(newest)]]
    found = np.concatenate([best, newest, spread])
    return [trials[at] for at in found[np.argsort(numbers[found])]]


def _milestone(tried: Sequence[Tried]) -> int:
    """The number below which trials teach hyperparameters: a milestone that as many trials have passed as are over.

    Where one follows the other that is the last that was proposed. With a hundred workers trials below that one are
    still to end, and each of them would be another past to learn from.
    """
    return last_milestone(sum(not math.isnan(trial.value) for trial in tried))


def last_milestone(number: int) -> int:
    """The last of 8, 12, 18, … that a trial's number has reached; the number itself below them."""
    milestone = FIRST_MILESTONE
    if number < milestone:
        return number
    while (following := math.ceil(milestone * BETWEEN)) <= number:
        milestone = following
    return milestone


def _normalised(trials: Sequence[Tried]) -> tuple[float, float, Array]:
    """Centre, spread, and the values of mean 0 and variance 1; far outliers on the bad side are pulled in first."""
    values = np.array([trial.value for trial in trials])
    median = float(np.median(values))
    # that from the best to the median, or to the worst fifth: where most trials are near the best, the others tell why
    width = max(median - float(values.min()), float(np.quantile(values, 0.8)) - median, 1e-12)
    values = np.minimum(values, median + OUTLIERS * width)
    centre, spread = float(values.mean()), max(float(values.std()), 1e-12)
    return centre, spread, (values - centre) / spread


def _doubts(trials: Sequence[Tried], spread: float) -> Array | None:
    """The variances of values that are no results, on the scale of the process; None where all are."""
    sds = np.array([trial.sd for trial in trials])
    return (sds / spread) ** 2 if sds.any() else None


@lru_cache(maxsize=64)
def _learnt(encoding: Encoding, trials: tuple[Tried, ...], shape: Shape | None) -> Hyperparameters:
    configurations = [trial.configuration for trial in trials]
    codes = encoding.encode(configurations)
    _, spread, values = _normalised(trials)
    shapes = None if shape is None else shape(configurations)
    distances = group_distances(encoding, codes, codes)
    return learn(distances, values, prior_of(encoding), shapes, _doubts(trials, spread))


# ---- what is kept ------------------------------------------------------------------------------------------------


class Distances:
    """Weighted distances of configurations among each other; those between two that were asked before are kept.

    An element is the same number whether it was kept or not: it is summed up by itself, group by group.
    """

    def __init__(self, encoding: Encoding, hyperparameters: Hyperparameters) -> None:
        self._encoding, self._relevances = encoding, hyperparameters.relevances
        self._known: dict[Configuration, int] = {}
        self._matrix = np.zeros((0, 0))

    def among(self, configurations: Sequence[Configuration]) -> Array:
        asked = {each: self._known.get(each) for each in configurations}
        old, new = ([each for each, at in asked.items() if (at is None) == is_new] for is_new in (False, True))
        kept = [at for at in asked.values() if at is not None]
        rows = self._encoding.encode(new)
        across = weighted_distance(self._encoding, rows, self._encoding.encode([*old, *new]), self._relevances)
        n = len(old)
        matrix = np.zeros((n + len(new), n + len(new)))
        matrix[:n, :n] = self._matrix[np.ix_(kept, kept)]
        matrix[n:, :] = across
        matrix[:n, n:] = across[:, :n].T
        self._known = {configuration: at for at, configuration in enumerate([*old, *new])}
        self._matrix = matrix
        order = [self._known[configuration] for configuration in configurations]
        found: Array = matrix[np.ix_(order, order)]
        return found


@lru_cache(maxsize=8)
def _distances(encoding: Encoding, hyperparameters: Hyperparameters) -> Distances:
    return Distances(encoding, hyperparameters)


# ---- failures ------------------------------------------------------------------------------------------------

_LABELS_CENTRE = 0.5


def _failures(encoding: Encoding, tried: Sequence[Tried]) -> Failing | None:
    """None where nothing failed, or everything."""
    failed = [trial for trial in tried if math.isinf(trial.value)]
    good = [trial for trial in tried if math.isfinite(trial.value)]
    if not failed or not good:
        return None
    failed, good = failed[-MOST_TRIALS // 2 :], chosen(good, MOST_TRIALS // 2)
    both = sorted([*failed, *good], key=lambda trial: trial.number)
    milestone = _milestone(tried)
    learnt = [trial for trial in both if trial.number < milestone][-MOST_LEARNT:]
    if len({math.isinf(trial.value) for trial in learnt}) < 2:
        learnt = both[-MOST_LEARNT:]
    found = _learnt_failures(encoding, tuple((trial.configuration, _label(trial)) for trial in learnt))
    configurations = [trial.configuration for trial in both]
    weighted = _distances(encoding, found).among(configurations)
    labels = np.array([_label(trial) for trial in both])
    return Failing(encoding, found, Posterior(weighted, labels, found), configurations)


def _label(trial: Tried) -> float:
    return float(math.isinf(trial.value)) - _LABELS_CENTRE


@lru_cache(maxsize=64)
def _learnt_failures(encoding: Encoding, labelled: tuple[tuple[Configuration, float], ...]) -> Hyperparameters:
    codes = encoding.encode([configuration for configuration, _ in labelled])
    labels = np.array([label for _, label in labelled])
    return learn(group_distances(encoding, codes, codes), 2 * labels, prior_of(encoding))
