"""What comes next in a study, by the kinds that are registered here: decided, and told to the queue."""

from collections.abc import Sequence
from typing import Any

from growlab.kinds import KINDS
from growlab.model.cost import Costs
from growlab.queue import Queue
from growlab.records import PastTrial, Spent
from growlab.search import New, Next, Promote, decide
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
