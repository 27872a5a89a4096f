"""Trials that a person puts into a study: to be trained, or with the results that they had elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from growlab.errors import NotFound
from growlab.finite import finite
from growlab.proposal import Proposal
from growlab.records import LOSSES, TOLD, TrialState
from growlab.storage import facts, queue
from growlab.storage.clock import database_now
from growlab.storage.studies import count_trials
from growlab.storage.tables import IS_OPEN, studies, trials

Metrics = Mapping[str, float]  # losses by their names, and other metrics by their keys (growlab.metrics)


def add_trials(
    connection: Connection, study_id: int, proposals: Sequence[Proposal], *, takes_places: bool
) -> int | None:
    """Put trials into the queue, all or none, and return the study's n_trials then.

    Those that take places are of its n_trials as long as it has fewer; what goes beyond raises it. None where the next
    number is no longer that of the first proposal. The row is locked, so that no worker adds a trial meanwhile.
    """
    asked = select(studies.c.spec, studies.c.former_specs).where(studies.c.id == study_id).with_for_update()
    row = connection.execute(asked).one_or_none()
    if row is None:
        raise NotFound("the study was deleted; nothing can be added to it")
    there = sum(count_trials(connection, study_id).values())
    if proposals[0].number != there:
        return None
    n_trials: int = row.spec["n_trials"]
    n_trials = max(n_trials, there + len(proposals)) if takes_places else max(n_trials, there) + len(proposals)
    if n_trials != row.spec["n_trials"]:  # a revision: a trial at a rung may go on only once no other is to be proposed
        changed = {"spec": {**row.spec, "n_trials": n_trials}, "former_specs": [*row.former_specs, row.spec]}
        connection.execute(update(studies).where(studies.c.id == study_id).values(changed))
    for proposal in proposals:
        added = queue.enqueue(connection, study_id, proposal)
        assert added, proposal.number
    return n_trials


def tell_results(
    connection: Connection, study_id: int, results: Sequence[tuple[Proposal, TrialState, Metrics]]
) -> int | None:
    """Add trials that were trained elsewhere, in their final states; as add_trials does, beyond n_trials.

    Metrics that are no losses become rows of step 0.
    """
    n_trials = add_trials(connection, study_id, [proposal for proposal, _, _ in results], takes_places=False)
    if n_trials is None:
        return None
    for proposal, state, told in results:
        assert proposal.decision.origin == TOLD, proposal.decision.origin
        values: dict[str, Any] = {name: finite(told[name]) for name in LOSSES if name in told}
        is_it = (trials.c.study_id == study_id) & (trials.c.number == proposal.number)
        ended = update(trials).where(is_it).values(state=state, ended_at=database_now(), **values)
        trial_id = connection.scalar(ended.returning(trials.c.id))
        facts.write_told(connection, trial_id, {key: told[key] for key in told if key not in LOSSES})
    return n_trials


def count_told(connection: Connection, study_id: int) -> int:
    """Count the trials that are over and that nobody ever claimed."""
    is_told = (trials.c.study_id == study_id) & ~IS_OPEN & (trials.c.epoch == 0)
    return connection.scalar(select(func.count()).where(is_told)) or 0
