"""What comes next in a study, as a function of the study and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from growlab.kinds import Kind
from growlab.proposal import Proposal
from growlab.records import PastTrial, Promotion, Spent, TrialState
from growlab.search.limits import Measure
from growlab.search.past import unfinished
from growlab.search.propose import propose
from growlab.search.rungs.halving import next_to_climb, promotion_of
from growlab.search.sampling import sampler_options
from growlab.study import Study


@dataclass(frozen=True)
class New:
    """A trial to put into the queue."""

    proposal: Proposal


@dataclass(frozen=True)
class Promote:
    """A paused trial to put into the queue again: it trains on to the next rung."""

    promotion: Promotion


@dataclass(frozen=True)
class Wait:
    """There is nothing to propose or to promote, and some trials are not over yet."""


@dataclass(frozen=True)
class Done:
    """Every trial is over or waits at a rung for good, or the study is over and none of its trials runs."""


Next = New | Promote | Wait | Done

_NOTHING = Spent()


def decide(
    study: Study, past: Sequence[PastTrial], kinds: Mapping[str, Kind], measure: Measure, spent: Spent = _NOTHING
) -> Next:
    """Decide after `past`, which holds every trial known, also queued and running ones, in any order.

    A study that has `spent` its budget or reached its target proposes nothing more, and what is queued stays so.

    The same past gives the same decision on any machine, whatever a search kept of the one before. Raises UsageError
    when no layout is within the limits of the study.
    """
    if study.limits.why_over(spent):
        return Wait() if any(trial.state is TrialState.RUNNING for trial in past) else Done()
    past = sorted(past, key=attrgetter("number"))
    proposes = len(past) < study.n_trials and sampler_options(study).proposes
    if study.rungs is not None and (promotion := _promotion(study, past, settled=not proposes and not _works(past))):
        return Promote(promotion)
    if proposes:
        return New(propose(study, past, len(past), kinds, measure))
    return Wait() if _works(past) else Done()


def _works(past: Sequence[PastTrial]) -> bool:
    """Whether any trial is trained, or waits for a worker alone."""
    return any(not trial.state.is_final and not trial.is_paused for trial in past)


def _promotion(study: Study, past: Sequence[PastTrial], *, settled: bool) -> Promotion | None:
    assert study.rungs is not None
    known = [trial if trial.state.is_final else unfinished(trial) for trial in past]
    best = next_to_climb(study.rungs, known, study.objective.metric, settled=settled)
    return promotion_of(best, known) if best else None
