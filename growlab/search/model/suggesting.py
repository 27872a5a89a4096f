"""What the sampler `model` suggests: the past read as configurations, an outlook on it, candidates, a choice."""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from random import Random

import numpy as np

from growlab.records import PastTrial, Prediction
from growlab.search.configuration import Configuration, configuration_of
from growlab.search.draw import Draw
from growlab.search.kept import Kept
from growlab.search.limits import nothing_fits
from growlab.search.model.aim import Aim, Best, aim_of
from growlab.search.model.candidates import Breeder, Candidate, Parent
from growlab.search.model.choice import SAFE, ranked, scores
from growlab.search.model.encoding import Array, Encoding
from growlab.search.model.outlook import LEAST, MIN_CORRELATION, Outlook, Tried, look_ahead
from growlab.search.model.transfer import transfer_of
from growlab.search.past import loss_of
from growlab.search.sampling import Ask, Suggestion

_N_PARENTS = 10
_N_CANDIDATES, _N_NEAR = 160, 8  # and so many more near each of the best N_REFINED
_N_REFINED = 10


def suggest(ask: Ask, *, at_random: bool, random_share: float, tries: int) -> Suggestion | None:
    """A random draw, or the candidate from which most is expected; None where the model has nothing to say.

    Raises UsageError when no layout is within the limits of the study.
    """
    rng = ask.rng()
    reader = reader_of(ask)
    encoding, tried = reader.encoding, reader.read(ask.past)
    breeder = Breeder(rng, ask.study, ask.menu, encoding)
    known = reader.configurations()
    if at_random:
        return _first_fitting(ask, _fresh(breeder, known, tries), "random")
    values = np.array([trial.value for trial in tried])
    reached = values[np.isfinite(values)]
    if len(reached) < LEAST or np.ptp(reached) == 0:
        return None
    outlook = look_ahead(encoding, tried, reader.transfer)
    if rng.random() < random_share:
        return _first_fitting(ask, _likely(rng, outlook, _fresh(breeder, known, tries)), "random")
    if outlook.rank_correlation <= MIN_CORRELATION:
        return None
    aim = aim_of(ask, outlook, tried)
    lent = reader.transfer.best if reader.transfer else []
    candidates = breeder.candidates(_parents(aim, lent), _N_CANDIDATES, known)
    known_by_now = known.union(candidate.configuration for candidate in candidates)
    candidates += [candidate for candidate in lent if candidate.configuration not in known_by_now]
    if not candidates:
        return None
    found = _scores(aim, candidates)
    known |= {candidate.configuration for candidate in candidates}
    best = islice(ranked(found, candidates), _N_REFINED)
    near = [child for at in best for child in breeder.near(candidates[at], _N_NEAR)]
    near = list({child.configuration: child for child in near if child.configuration not in known}.values())
    if near:
        candidates, found = [*candidates, *near], np.concatenate([found, _scores(aim, near)])
    order = (candidates[at] for at in ranked(found, candidates))
    return _first_fitting(ask, order, "model", outlook)


def _scores(aim: Aim, candidates: Sequence[Candidate]) -> Array:
    return scores(*aim.prospects([candidate.configuration for candidate in candidates]))


def _parents(aim: Aim, lent: Sequence[Candidate] = ()) -> list[Parent]:
    """The best by what is expected of them, of the trials and of what another study lent, no two alike."""
    known = [Parent(trial.number, trial.configuration) for trial in aim.outlook.good]
    known += [Parent(None, candidate.configuration) for candidate in lent]
    found: dict[Configuration, Parent] = {}
    for at in aim.order([candidate.configuration for candidate in lent]):
        found.setdefault(known[at].configuration, known[at])
        if len(found) == _N_PARENTS:
            break
    return list(found.values())


def _fresh(breeder: Breeder, known: Collection[Configuration], tries: int) -> Iterator[Candidate]:
    """Random draws that nobody tried; after so many tries any."""
    draws = [breeder.fresh()]
    for _ in range(tries):
        if draws[-1].configuration not in known:
            yield draws[-1]
        draws.append(breeder.fresh())
    yield from draws


def _likely(rng: Random, outlook: Outlook, draws: Iterator[Candidate]) -> Iterator[Candidate]:
    """Of the draws that will not probably fail each as often as it is expected to run; the last of all in any case."""
    for draw in draws:
        *_, runs = outlook.predict([draw.configuration])
        if runs[0] >= SAFE and rng.random() < runs[0]:
            yield draw
    yield draw


def _first_fitting(
    ask: Ask, candidates: Iterator[Candidate], origin: str, outlook: Outlook | None = None
) -> Suggestion:
    """The first candidate within the study's limits. Raises UsageError where none of them is."""
    too_large = []
    for candidate in candidates:
        made = candidate.configuration
        if excess := ask.limit.at(made.params).excess(made.layout):
            too_large.append(excess)
            continue
        draw = Draw(layout=made.layout, origin=origin, parent=candidate.parent, words=candidate.description)
        predicted = None if outlook is None else prediction(outlook, candidate.configuration)
        return Suggestion(draw=draw, params=candidate.configuration.params, predicted=predicted)
    raise nothing_fits(too_large)


def best_configurations(outlook: Outlook) -> list[Configuration]:
    """The configurations of the best trials, by what is expected of them, no two alike."""
    return [parent.configuration for parent in _parents(Best(outlook))]


def prediction(outlook: Outlook, configuration: Configuration) -> Prediction:
    """What is expected of a configuration."""
    mean, sd, runs = outlook.predict([configuration])
    return Prediction(mean=float(mean[0]), sd=float(sd[0]), runs=float(runs[0]))


# ---- the past ----------------------------------------------------------------------------------------------------


class Reader:
    """Reads the past of one study. What it read is kept, and read again where a trial has changed since."""

    def __init__(self, ask: Ask) -> None:
        self.encoding = Encoding(ask.study.scalars(), ask.menu, ask.limit.measure)
        self.transfer = transfer_of(ask)
        self._kinds = ask.menu.kinds
        self._domains = ask.study.scalars()
        self._read: dict[int, tuple[PastTrial, Tried | None]] = {}
        self._known: set[Configuration] = set()

    def read(self, past: Sequence[PastTrial]) -> list[Tried]:
        """All trials as configurations. One of another space than the study's, or a damaged row, teaches nothing."""
        before, self._read = self._read, {}
        n_stayed = 0
        for trial in past:
            known = before.get(trial.number)
            if known is not None and (known[0] is trial or known[0] == trial):  # to compare takes longer than the rest
                n_stayed += 1
            elif known is not None and _is_made_alike(known[0], trial):  # it has come to its end meanwhile
                known = trial, known[1] and _tried(trial, known[1].configuration)
                n_stayed += 1
            else:
                known = trial, self._tried(trial)
            self._read[trial.number] = known
        tried = [tried for _, tried in self._read.values() if tried is not None]
        if n_stayed < len(before):
            self._known = {trial.configuration for trial in tried}
        return tried

    def configurations(self) -> set[Configuration]:
        """The configurations of the trials that were read last, a set of the caller's own."""
        return self._known.copy()

    def _tried(self, trial: PastTrial) -> Tried | None:
        configuration = configuration_of(trial, self._domains, self._kinds)
        if configuration is None:
            return None
        self._known.add(configuration)
        return _tried(trial, configuration)


def _is_made_alike(one: PastTrial, other: PastTrial) -> bool:
    return one.layout == other.layout and one.params == other.params


def _tried(trial: PastTrial, configuration: Configuration) -> Tried:
    value = loss_of(trial) if trial.state.is_final else math.nan
    return Tried(trial.number, configuration, value, trial.value_sd)


def reader_of(ask: Ask) -> Reader:
    """The reader of a study's past, as it was left by the decision before; another one reads the same."""
    made_of = ask.study.layouts, ask.study.scalars(), ask.study.sampler, id(ask.menu.kinds), ask.limit.measure
    return _READERS.get(repr(made_of), partial(Reader, ask))


_READERS: Kept[Reader] = Kept(4)
