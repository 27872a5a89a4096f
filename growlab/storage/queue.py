"""The queue is the table of trials: propose, claim, beat, give back.

    enqueue ──► queued ── claim_next ──► running ── finish ──► completed | diverged | failed
                  ^                       │   ^ │
                  └──────── release ──────┘   └─┘ claim_next by another, once the lease has run out

A release as crashed and a lease that ran out are a strike each; a new checkpoint forgives them; with
the third the trial is failed. Every transaction locks its trial's row before any other row of the
trial, so that no two wait for each other.
"""

from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, or_, select, update

from growlab.doors import trial_spec_from_mapping, trial_spec_to_mapping
from growlab.errors import LeaseLost, NotFound
from growlab.layout import parse
from growlab.records import Decision, EndReason, TrialState
from growlab.specs import TrialSpec
from growlab.storage import fence
from growlab.storage.artifacts import newest_checkpoint
from growlab.storage.clock import database_now
from growlab.storage.rows import Claim
from growlab.storage.tables import IS_OPEN, attempts, decisions, studies, trials, workers
from growlab.storage.upsert import insert_unless_there
from growlab.storage.values import clean_text

MAX_STRIKES = 3


def enqueue(
    connection: Connection,
    study_id: int,
    *,
    number: int,
    spec: TrialSpec,
    layout: str,
    depth_start: int,
    params: dict[str, Any],
    decision: Decision,
) -> bool:
    """Add a proposed trial; False when that number is taken, or beyond the study's n_trials."""
    if number >= _n_trials(connection, study_id):
        return False
    row = {
        "study_id": study_id,
        "number": number,
        "state": TrialState.QUEUED,
        "spec": trial_spec_to_mapping(spec),
        "layout": layout,
        "layout_hash": parse(spec.layout).hash,
        "params": params,
        "depth_start": depth_start,
        "epoch": 0,
        "strikes": 0,
        "created_at": database_now(),
        "sample": "",
        "error": "",
    }
    trial_id = connection.scalar(insert_unless_there(connection, trials, row).returning(trials.c.id))
    if trial_id is None:
        return False
    connection.execute(insert(decisions).values(trial_id=trial_id, **_decision_row(decision)))
    return True


def claim_next(connection: Connection, study_id: int, worker_id: int, *, lease_s: float) -> Claim | None:
    """Take the first trial that waits or is no longer heard of; those that struck out on the way are failed."""
    claim = None
    while claim is None and (taken := _take(connection, study_id, lease_s)):
        _close_superseded(connection, taken.id)
        if taken.strikes >= MAX_STRIKES:
            _strike_out(connection, taken.id)
        else:
            claim = _begin_attempt(connection, taken, study_id, worker_id, lease_s)
    connection.execute(update(workers).where(workers.c.id == worker_id).values(heartbeat_at=database_now()))
    return claim


def beat(connection: Connection, claim: Claim) -> None:
    """Extend the lease. Raises LeaseLost."""
    fence.hold(connection, claim)


def release(connection: Connection, claim: Claim, reason: EndReason, note: str) -> None:
    """Give the trial back: stopped without blame, crashed with a strike. Raises LeaseLost.

    A repeated release, whose first answer was lost on the way, changes nothing.
    """
    assert reason in (EndReason.STOPPED, EndReason.CRASHED), reason
    strike = int(reason is EndReason.CRASHED)
    try:
        fence.hold(connection, claim, state=TrialState.QUEUED, lease_expires_at=None, strikes=trials.c.strikes + strike)
    except LeaseLost:
        if fence.ended_as(connection, claim) is reason:
            return
        raise
    fence.end_attempt(connection, claim, reason, clean_text(note))
    strikes = connection.scalar(select(trials.c.strikes).where(trials.c.id == claim.trial_id))
    if strikes is not None and strikes >= MAX_STRIKES:
        _strike_out(connection, claim.trial_id)


def _n_trials(connection: Connection, study_id: int) -> int:
    """Of a study that stays there until the end of the transaction. Raises NotFound."""
    asked = select(studies.c.spec["n_trials"].as_integer()).where(studies.c.id == study_id)
    n_trials: int | None = connection.scalar(asked.with_for_update(read=True, key_share=True))
    if n_trials is None:
        raise NotFound("the study was deleted; nothing can be added to it")
    return n_trials


def _decision_row(decision: Decision) -> dict[str, Any]:
    return {
        "seed": decision.seed,
        "origin": decision.origin,
        "parent": decision.parent,
        "mutation": decision.mutation,
        "finished": list(decision.finished),
        "running": list(decision.running),
    }


def _take(connection: Connection, study_id: int, lease_s: float) -> Row[Any] | None:
    """One statement finds, locks and takes a trial: to select first and update then gives it to several."""
    is_free = or_(trials.c.lease_expires_at.is_(None), trials.c.lease_expires_at < database_now())
    first = (
        select(trials.c.id)
        .where(trials.c.study_id == study_id, IS_OPEN, is_free)
        .order_by(trials.c.number)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL; SQLite has one writer at a time
        .correlate(None)
        .scalar_subquery()
    )
    was_running = case((trials.c.state == TrialState.RUNNING, 1), else_=0)
    taking = update(trials).where(trials.c.id == first)
    return connection.execute(
        taking.values(
            state=TrialState.RUNNING,
            epoch=trials.c.epoch + 1,
            strikes=trials.c.strikes + was_running,
            lease_expires_at=database_now() + lease_s,
            started_at=func.coalesce(trials.c.started_at, database_now()),
        ).returning(*(trials.c[name] for name in ("id", "number", "epoch", "strikes", "spec", "layout")))
    ).one_or_none()


def _begin_attempt(connection: Connection, taken: Row[Any], study_id: int, worker_id: int, lease_s: float) -> Claim:
    now = {"started_at": database_now(), "heartbeat_at": database_now()}
    row = {"trial_id": taken.id, "epoch": taken.epoch, "worker_id": worker_id, "note": ""}
    attempt_id: int | None = connection.scalar(insert(attempts).values(**row, **now).returning(attempts.c.id))
    assert attempt_id is not None
    return Claim(
        trial_id=taken.id,
        number=taken.number,
        epoch=taken.epoch,
        attempt_id=attempt_id,
        study_id=study_id,
        spec=trial_spec_from_mapping(taken.spec),
        layout=taken.layout,
        lease_s=lease_s,
        checkpoint=newest_checkpoint(connection, taken.id),
    )


def _close_superseded(connection: Connection, trial_id: int) -> None:
    is_left_open = (attempts.c.trial_id == trial_id) & attempts.c.ended_at.is_(None)
    connection.execute(update(attempts).where(is_left_open).values(ended_at=database_now(), end_reason=EndReason.LOST))


def _strike_out(connection: Connection, trial_id: int) -> None:
    """Fail a trial that crashes again and again. Its last checkpoint stays, as evidence."""
    last = connection.execute(
        select(workers.c.name, attempts.c.end_reason, attempts.c.note)
        .join_from(attempts, workers)
        .where(attempts.c.trial_id == trial_id)
        .order_by(attempts.c.epoch.desc())
        .limit(1)
    ).one()
    words = last.note or f"the process on worker {last.name} died"
    if last.end_reason == EndReason.LOST:
        words = f"worker {last.name} was killed, stalled or cut off"
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(
            state=TrialState.FAILED,
            lease_expires_at=None,
            ended_at=database_now(),
            error=f"crashed {MAX_STRIKES} times without a new checkpoint; last: {words}",
        )
    )
