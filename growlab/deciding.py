"""What comes next in a study, by the kinds that are registered here: decided, and told to the queue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from growlab.kinds import KINDS
from growlab.model.cost import Costs
from growlab.queue import Queue
from growlab.records import EarlyStop, PastTrial, RungReading, Spent
from growlab.search import New, Next, Promote, decide
from growlab.search.stopping import stopped_by_median, told_at_marks
from growlab.study import Study

_NOTHING = Spent()


def decided(study: Study, past: Sequence[PastTrial], vocab_size: int, spent: Spent = _NOTHING) -> Next:
    """Decide what comes next in a study after this past."""
    return decide(study, past, KINDS, Costs(vocab_size), spent)


def put_next(queue: Queue[Any], study_id: int, study: Study, vocab_size: int, *, revision: int = 0) -> Next:
    """Decide what comes next and put it into the queue, where a faster worker's stays; returns what was decided.

    Nothing else decides, whoever asks: a worker's trainer of its database, a simulated worker of its memory.
    """
    past, spent = queue.past_trials(study_id, study.metrics), queue.spent(study_id)
    following = decided(study, past, vocab_size, spent)
    match following:
        case New(proposal):
            queue.enqueue(study_id, proposal, revision=revision)
        case Promote(promotion):
            queue.promote(study_id, promotion, revision=revision)
    return following


def stopped_at_mark(
    queue: Queue[Any],
    study_id: int,
    study: Study,
    vocab_size: int,
    number: int,
    reading: RungReading,
    *,
    revision: int = 0,
) -> EarlyStop | None:
    """The stop of a trial that was read at a mark just now, by what others are known to have come to there."""
    readings = {**queue.readings_at(study_id, reading.rung), number: reading}
    past = queue.past_trials(study_id, study.metrics) if len(study.objectives) > 1 else ()
    others = told_at_marks(study, past, KINDS, Costs(vocab_size))
    stop = stopped_by_median(study, number, readings, others)
    return stop and replace(stop, revision=revision)
