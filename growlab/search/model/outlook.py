"""What the past of a study says of configurations that nobody tried: how good each will be, and whether it will run.

A function of the past alone. The model rests on at most MOST_TRIALS of the finished trials, its hyperparameters on at
most MOST_LEARNT of those whose numbers are below the last milestone (8, 12, 18, … × 1.5) that as many trials as are
over have come to, so that they stay for a while; both are chosen by number and value, whatever order they came in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
    _codes: Codes  # of the good and of those that run
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
        codes = self.encoding.encode(asked)
        mean, sd = self._posterior.predict(self._distances(codes), self._shapes(asked))
        runs = np.ones(len(asked)) if self._failing is None else self._failing.survival(codes)
        return self._centre + self._spread * mean, self._spread * sd, runs

    def standard(self, asked: Sequence[Configuration]) -> Array:
        """What is expected of each, of mean 0 and variance 1 over the good trials."""
        return self._posterior.expected(self._distances(self.encoding.encode(asked)), self._shapes(asked))

    def _distances(self, codes: Codes) -> Array:
        return weighted_distance(self.encoding, codes, self._codes, self.hyperparameters.relevances)

    def _shapes(self, asked: Sequence[Configuration]) -> Array | None:
        return None if self._shape is None else self._shape(asked)

    def combined(self, asked: Sequence[Configuration], weights: Sequence[float]) -> tuple[float, float]:
        """Mean and standard deviation of a sum of objectives by weights that add up to 0, such as a difference."""
        codes = self.encoding.encode(asked)
        among = weighted_distance(self.encoding, codes, codes, self.hyperparameters.relevances)
        mean, sd = self._posterior.combined(self._distances(codes), among, np.array(weights), self._shapes(asked))
        return self._spread * mean, self._spread * sd

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of values and what each is expected to be from all others: how well it predicts."""
        values = _values(self.good)
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
    _codes: Codes

    def survival(self, codes: Codes) -> Array:
        """The probability that each will reach an objective."""
        weighted = weighted_distance(self.encoding, codes, self._codes, self.hyperparameters.relevances)
        mean, sd = self._posterior.predict(weighted)
        found: Array = ndtr((0.5 - _LABELS_CENTRE - mean) / np.sqrt(sd**2 + DOUBT**2))
        return found


def look_ahead(encoding: Encoding, tried: Sequence[Tried], shape: Shape | None = None) -> Outlook:
    """The outlook after these trials, at least two of which reached different objectives.

    `shape` is what another study found.
    """
    numbers, values = _numbers(tried), _values(tried)
    finished, pending = np.isfinite(values), np.flatnonzero(np.isnan(values))[-MOST_PENDING:]
    good = [tried[at] for at in _chosen(np.flatnonzero(finished), numbers, values, MOST_TRIALS)]
    milestone = _milestone(values)
    early = _chosen(np.flatnonzero(finished & (numbers < milestone)), numbers, values, MOST_LEARNT)
    learnt = [tried[at] for at in early] or good
    centre, spread, normalised = _normalised(good)
    found = _learnt(encoding, tuple(learnt), shape)
    configurations = [*(trial.configuration for trial in good), *(tried[at].configuration for at in pending)]
    codes, weighted = _distances(encoding, found).among(configurations)
    shapes = None if shape is None else shape(configurations)
    return Outlook(
        encoding=encoding,
        good=good,
        hyperparameters=found,
        _posterior=Posterior(
            weighted, normalised, found, n_pending=len(pending), shape=shapes, doubts=_doubts(good, spread)
        ),
        _codes=codes,
        _centre=centre,
        _spread=spread,
        _failing=_failures(encoding, tried, numbers, values),
        _shape=shape,
    )


def chosen(trials: Sequence[Tried], most: int) -> list[Tried]:
    """At most so many trials: a half the best ones, a quarter the newest, the rest spread evenly over the others."""
    return [trials[at] for at in _chosen(np.arange(len(trials)), _numbers(trials), _values(trials), most)]


def _chosen(among: Array, numbers: Array, values: Array, most: int) -> list[int]:
    """The places of the chosen ones, of those `among`, by number."""
    numbers, values = numbers[among], values[among]
    found = np.arange(len(among))
    if len(among) > most:
        by_value = np.lexsort((numbers, values))
        best, rest = by_value[: most // 2], by_value[most // 2 :]
        rest = rest[np.argsort(numbers[rest])]
        newest, older = rest[-(most // 4) :], rest[: -(most // 4)]
        scattered = numbers[older] * GOLDEN % (1 << 32)  # so that few of them are others after the next trial
        spread = older[np.argsort(scattered)[: most - len(best) - len(newest)]]
        found = np.concatenate([best, newest, spread])
    places: list[int] = among[found[np.argsort(numbers[found])]].tolist()
    return places


def _numbers(trials: Sequence[Tried]) -> Array:
    return np.array([trial.number for trial in trials], dtype=np.int64)


def _values(trials: Sequence[Tried]) -> Array:
    return np.array([trial.value for trial in trials])


def _milestone(values: Array) -> int:
    """The number below which trials teach hyperparameters: a milestone that as many trials have passed as are over.

    Where one follows the other that is the last that was proposed. With a hundred workers trials below that one are
    still to end, and each of them would be another past to learn from.
    """
    return last_milestone(int((~np.isnan(values)).sum()))


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
    values = _values(trials)
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
    """Codes and weighted distances of configurations; what was asked for before is kept.

    An element is the same number whether it was kept or not: it is summed up by itself, group by group.
    """

    def __init__(self, encoding: Encoding, hyperparameters: Hyperparameters) -> None:
        self._encoding, self._relevances = encoding, hyperparameters.relevances
        self._known: dict[Configuration, int] = {}
        self._codes, self._matrix = encoding.encode([]), np.zeros((0, 0))

    def among(self, configurations: Sequence[Configuration]) -> tuple[Codes, Array]:
        """The codes of configurations, and the distances among them."""
        n_kept = len(self._codes)
        new = [each for each in dict.fromkeys(configurations) if each not in self._known]
        places = self._known | {each: n_kept + at for at, each in enumerate(new)}
        at = np.array([places[each] for each in configurations], dtype=np.intp)
        rows = self._encoding.encode(new)
        codes = self._codes.followed_by(rows).chosen(at)
        is_new, kept = at >= n_kept, np.where(at >= n_kept, 0, at)
        matrix = self._matrix.take(kept, axis=0).take(kept, axis=1) if n_kept else np.zeros((len(at), len(at)))
        across = weighted_distance(self._encoding, rows, codes, self._relevances)[at[is_new] - n_kept]
        matrix[is_new], matrix[:, is_new] = across, across.T
        self._known = {each: at for at, each in enumerate(configurations)}
        self._codes, self._matrix = codes, matrix
        return codes, matrix


@lru_cache(maxsize=8)
def _distances(encoding: Encoding, hyperparameters: Hyperparameters) -> Distances:
    return Distances(encoding, hyperparameters)


# ---- failures ------------------------------------------------------------------------------------------------

_LABELS_CENTRE = 0.5


def _failures(encoding: Encoding, tried: Sequence[Tried], numbers: Array, values: Array) -> Failing | None:
    """None where nothing failed, or everything."""
    failed, good = np.flatnonzero(np.isinf(values)), np.flatnonzero(np.isfinite(values))
    if not len(failed) or not len(good):
        return None
    places = [*failed[-MOST_TRIALS // 2 :].tolist(), *_chosen(good, numbers, values, MOST_TRIALS // 2)]
    both = sorted([tried[at] for at in places], key=lambda trial: trial.number)
    milestone = _milestone(values)
    learnt = [trial for trial in both if trial.number < milestone][-MOST_LEARNT:]
    if len({math.isinf(trial.value) for trial in learnt}) < 2:
        learnt = both[-MOST_LEARNT:]
    found = _learnt_failures(encoding, tuple((trial.configuration, _label(trial)) for trial in learnt))
    configurations = [trial.configuration for trial in both]
    codes, weighted = _distances(encoding, found).among(configurations)
    labels = np.array([_label(trial) for trial in both])
    return Failing(encoding, found, Posterior(weighted, labels, found), codes)


def _label(trial: Tried) -> float:
    return float(math.isinf(trial.value)) - _LABELS_CENTRE


@lru_cache(maxsize=64)
def _learnt_failures(encoding: Encoding, labelled: tuple[tuple[Configuration, float], ...]) -> Hyperparameters:
    codes = encoding.encode([configuration for configuration, _ in labelled])
    labels = np.array([label for _, label in labelled])
    return learn(group_distances(encoding, codes, codes), 2 * labels, prior_of(encoding))
