"""The past of a study as Optuna knows it, kept from one decision to the next.

Each trial is made into one of Optuna's once, and again only when it has changed (one that ran has finished, say). To
ask a sampler, an empty study is opened over them: what it is asked for is the only trial that is its own, so nothing
that is kept ever changes. A sampler sees what it would see in a study made of the same past at once.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy as copied
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from growlab.records import PastTrial

Params = dict[str, Any]
Distributions = dict[str, BaseDistribution]
Read = Callable[[PastTrial], FrozenTrial | None]  # None for a trial that has nothing to tell


class Memory:
    """The trials of one study as `read` makes them, those of the last past that was asked for."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[int, tuple[PastTrial, FrozenTrial | None]] = {}

    def trials(self, past: Sequence[PastTrial]) -> list[FrozenTrial]:
        """All that have something to tell, by number."""
        self._known = {trial.number: (trial, self._made(trial)) for trial in past}
        return [made for _, (_, made) in sorted(self._known.items()) if made is not None]

    def _made(self, trial: PastTrial) -> FrozenTrial | None:
        known = self._known.get(trial.number)
        if known is not None and (known[0] is trial or known[0] == trial):  # to compare takes longer than all the rest
            return known[1]
        return self._read(trial)


class _PastAndOne(InMemoryStorage):
    """A study's trials that are over or run elsewhere, and those asked for here, of which the first has number 0."""

    def __init__(self, past: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._past = past

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        past = [trial for trial in self._past if states is None or trial.state in states]
        return [*(copied(past) if deepcopy else past), *super().get_all_trials(study_id, deepcopy, states)]


def opened(past: Sequence[FrozenTrial], sampler: BaseSampler, n_objectives: int = 1) -> optuna.Study:
    """A study to ask once, within `quiet`, whose sampler sees `past`: trials by number, all of them above 0."""
    return optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler, storage=_PastAndOne(past))


def complete(number: int, values: Sequence[float], params: Params, distributions: Distributions) -> FrozenTrial:
    """A trial for `opened`, of growlab's number, that reached a value of each objective."""
    return _frozen(number, TrialState.COMPLETE, values, params, distributions)


def running(number: int, params: Params, distributions: Distributions) -> FrozenTrial:
    return _frozen(number, TrialState.RUNNING, None, params, distributions)


def failed(number: int, params: Params, distributions: Distributions) -> FrozenTrial:
    return _frozen(number, TrialState.FAIL, None, params, distributions)


def _frozen(
    number: int, state: TrialState, values: Sequence[float] | None, params: Params, distributions: Distributions
) -> FrozenTrial:
    """Not `create_trial`, which makes and checks a date and copies every distribution: the past is long."""
    return FrozenTrial(
        number=number + 1,
        trial_id=number + 1,
        state=state,
        value=None,
        values=values,
        datetime_start=_ONCE,
        datetime_complete=_ONCE if state.is_finished() else None,
        params=params,
        distributions=distributions,
        user_attrs=_NONE,
        system_attrs=_NONE,
        intermediate_values=_NONE,
    )


_ONCE = datetime.fromtimestamp(0)  # no sampler asks when
_NONE: dict[Any, Any] = {}  # one for all: nothing writes to a trial that is kept


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from announcing every study that it makes, and from saying what would make it faster."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
