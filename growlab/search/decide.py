"""What comes next in a study, as a function of the study and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from growlab.kinds import Kind
from growlab.layout import parse
from growlab.proposal import Proposal
from growlab.records import PastTrial, Promotion, Spent, TrialState
from growlab.search.configuration import Configuration
from growlab.search.judging import told_objectives
from growlab.search.limits import Limits, Measure
from growlab.search.propose import ask_for, propose
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
    options = sampler_options(study)
    if len(past) < study.n_trials and options.proposes:
        return _better(study, past, kinds, measure, weighs=options.weighs)
    if study.rungs is not None and (best := _by_halving(study, past, kinds, measure, settled=not _works(past))):
        return Promote(promotion_of(best, past))
    return Wait() if _works(past) else Done()


def _better(
    study: Study, past: Sequence[PastTrial], kinds: Mapping[str, Kind], measure: Measure, *, weighs: bool
) -> New | Promote:
    """A new trial or one that waits at a rung: by what is expected of both, where a model says it, else by halving.

    By halving too until the first trial has come to its end, so that a study soon has something to show.
    """
    if study.rungs is None:
        return New(propose(study, past, len(past), kinds, measure))
    weighs = weighs and any(trial.state is TrialState.COMPLETED for trial in past)
    if not weighs and (best := _by_halving(study, past, kinds, measure, settled=False)):
        return Promote(promotion_of(best, past))
    proposal = propose(study, past, len(past), kinds, measure)
    if not weighs:
        return New(proposal)
    if proposal.decision.predicted is None:
        best = _by_halving(study, past, kinds, measure, settled=False)
        return Promote(promotion_of(best, past)) if best else New(proposal)
    from growlab.search.model.climbing import worth_more  # it loads NumPy and SciPy

    ask, _ = ask_for(study, past, len(past), kinds, measure)
    new = Configuration(parse(proposal.spec.layout), proposal.params)
    if found := worth_more(ask, study.rungs, past, new):
        return Promote(promotion_of(found[0], past, found[1]))
    return New(proposal)


def _works(past: Sequence[PastTrial]) -> bool:
    """Whether any trial is trained, or waits for a worker alone."""
    return any(not trial.state.is_final and not trial.is_paused for trial in past)


def _by_halving(
    study: Study, past: Sequence[PastTrial], kinds: Mapping[str, Kind], measure: Measure, *, settled: bool
) -> PastTrial | None:
    assert study.rungs is not None
    others = told_objectives(Limits(study=study, kinds=kinds, measure=measure), past)
    return next_to_climb(study.rungs, past, study.loss, settled=settled, others=others)
