"""What comes next in a study, as a function of the study and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from growlab.kinds import Kind
from growlab.proposal import Proposal
from growlab.records import PastTrial, Spent, TrialState
from growlab.search.limits import Measure
from growlab.search.propose import propose
from growlab.search.sampling import sampler_options
from growlab.study import Study


@dataclass(frozen=True)
class New:
    """A trial to put into the queue."""

    proposal: Proposal


@dataclass(frozen=True)
class Wait:
    """There is nothing to propose, and some trials are not over yet."""


@dataclass(frozen=True)
class Done:
    """Every trial is over, or the study is and none of its trials runs."""


Next = New | Wait | Done

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
    if len(past) < study.n_trials and sampler_options(study).proposes:
        return New(propose(study, past, len(past), kinds, measure))
    return Done() if all(trial.state.is_final for trial in past) else Wait()
