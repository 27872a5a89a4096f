"""A proposal or a promotion made again: the study asked once more, after the past that the decision saw.

A decision keeps the numbers of the trials that had finished and of those that had not. What they were and how they
ended is in their rows and stays as it was; what has finished since was still running then, and has no value here.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from math import isclose
from typing import Any

from growlab.kinds import Kind
from growlab.proposal import Proposal
from growlab.records import Climb, Decision, PastTrial, Promotion
from growlab.search.decide import Promote, decide
from growlab.search.limits import Measure
from growlab.search.past import unfinished
from growlab.search.propose import propose
from growlab.study import Study
from growlab.study.column import trial_spec_from_mapping, trial_spec_to_mapping

_ROUNDING = 1e-6  # relative: what another machine's arithmetic may change in a prediction


def seen(decision: Decision | Promotion, trials: Mapping[int, PastTrial]) -> list[PastTrial]:
    """The past as a decision saw it, of trials by number as they are now."""
    finished = [trials[number] for number in decision.finished if number in trials]
    climbs = {climb.trial: climb for climb in decision.climbs}
    return finished + [_on_its_way(trials[at], climbs.get(at)) for at in decision.running if at in trials]


def _on_its_way(trial: PastTrial, climb: Climb | None) -> PastTrial:
    """A trial before it ended, at the rung to which it had come then."""
    n_readings, may_pass = (climb.n_readings, climb.may_pass) if climb else (0, 0)
    return replace(unfinished(trial), readings=trial.readings[:n_readings], may_pass=may_pass)


def propose_again(
    study: Study, decision: Decision, trials: Mapping[int, PastTrial], kinds: Mapping[str, Kind], measure: Measure
) -> Proposal:
    """The proposal of the trial that `decision` was about; `study` is the revision that it was made by.

    Raises UsageError when no layout has as few parameters as the study asks.
    """
    return propose(study, seen(decision, trials), decision.number, kinds, measure)


def promote_again(
    study: Study, promotion: Promotion, trials: Mapping[int, PastTrial], kinds: Mapping[str, Kind], measure: Measure
) -> Promotion | None:
    """The promotion that is decided now of what `promotion` saw, of the revision that it was made by; None for none."""
    decided = decide(study, seen(promotion, trials), kinds, measure)
    return replace(decided.promotion, revision=promotion.revision) if isinstance(decided, Promote) else None


def as_mapping(proposal: Proposal) -> dict[str, Any]:
    """All of a proposal but the revision that it was made by, in plain JSON types.

    The spec is read back once, as a stored one was: an older row is completed by what its silence meant.
    """
    decision = asdict(proposal.decision)
    del decision["revision"]
    return {
        "layout": proposal.layout,
        "depth": proposal.depth,
        "params": dict(proposal.params),
        "spec": trial_spec_to_mapping(trial_spec_from_mapping(trial_spec_to_mapping(proposal.spec))),
        "decision": {key: list(value) if isinstance(value, tuple) else value for key, value in decision.items()},
    }


def is_rounding(one: Any, other: Any) -> bool:
    """Whether two predictions, as mappings, differ no more than in their last digits."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return False
    return all(isclose(one[key], other[key], rel_tol=_ROUNDING, abs_tol=_ROUNDING) for key in one)
