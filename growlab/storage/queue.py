"""The queue is the table of trials: propose, claim, beat, give back, promote.

    enqueue ──► queued ── claim_next ──► running ── finish ──► completed | stopped | diverged | failed
                 ^  ^                    │  │ ^ │
                 │  └────── release ─────┘  │ └─┘ claim_next by another, once the lease has run out
                 └─ promote ── paused ◄─────┘ pause

A release as crashed is a strike; a new checkpoint forgives them; with the third the trial is failed. A lease that
ran out is none: to lose a worker is no fault of its trial, until MOST_LOSSES attempts in a row were lost and none of
them came further than the attempts before. A trial that cannot be read is failed too. Every transaction locks its
trial's row before any other row of the trial, so that no two wait for each other.
"""

import json
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, func, insert, or_, select, true, update

from growlab.errors import GrowlabError, LeaseLost, NotFound, SpecError
from growlab.layout import parse
from growlab.named import Named
from growlab.proposal import Proposal
from growlab.queue import MAX_STRIKES, MOST_LOSSES, ladder_of
from growlab.records import EndReason, Promotion, TrialState
from growlab.rungs import Rungs
from growlab.specs import TrialSpec
from growlab.stopping import StopRules
from growlab.storage import fence, silence, spending
from growlab.storage.artifacts import newest_checkpoint
from growlab.storage.clock import database_now
from growlab.storage.decisions import decision_row, promotion_row
from growlab.storage.rows import Claim
from growlab.storage.silence import may_be_taken
from growlab.storage.spending import HAS_BEGUN
from growlab.storage.tables import TAKES_WORKERS, attempts, decisions, promotions, studies, trials, workers
from growlab.storage.upsert import insert_unless_there
from growlab.storage.values import clean_text
from growlab.study.column import trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.objectives import measured_at_end
from growlab.study.objectives_section import CONSTRAINTS, OBJECTIVES, stored_constraints, stored_objectives
from growlab.study.reading import read_rungs, read_stop


def enqueue(
    connection: Connection,
    study_id: int,
    proposal: Proposal,
    revision: int = 0,
) -> bool:
    """Add a trial that this revision of the study proposed; False when its number is taken, or beyond n_trials."""
    if proposal.number >= _n_trials(connection, study_id):
        return False
    row = {
        "study_id": study_id,
        "number": proposal.number,
        "state": TrialState.QUEUED,
        "spec": trial_spec_to_mapping(proposal.spec),
        "layout": proposal.layout,
        "layout_hash": parse(proposal.spec.layout).hash,
        "params": dict(proposal.params),
        "depth_start": proposal.depth,
        "epoch": 0,
        "strikes": 0,
        "created_at": database_now(),
        "sample": "",
        "error": "",
    }
    trial_id = connection.scalar(insert_unless_there(connection, trials, row).returning(trials.c.id))
    if trial_id is None:
        return False
    connection.execute(
        insert(decisions).values(trial_id=trial_id, revision=revision, **decision_row(proposal.decision))
    )
    return True


def promote(connection: Connection, study_id: int, promotion: Promotion, revision: int = 0) -> bool:
    """Put a paused trial into the queue again; False when it waits at this rung no longer.

    Decided by this revision of the study.
    """
    waits = (trials.c.state == TrialState.PAUSED) & (trials.c.may_pass == promotion.rung)
    is_it = (trials.c.study_id == study_id) & (trials.c.number == promotion.trial) & waits
    climbing = update(trials).where(is_it).values(state=TrialState.QUEUED, may_pass=promotion.rung + 1)
    trial_id = connection.scalar(climbing.returning(trials.c.id))
    if trial_id is None:
        return False
    row = {"trial_id": trial_id, "revision": revision, "created_at": database_now(), **promotion_row(promotion)}
    connection.execute(insert(promotions).values(row))
    return True


def claim_next(
    connection: Connection, study_id: int, worker_id: int, *, lease_s: float, asked_before: bool = False
) -> Claim | None:
    """Take the first trial that waits or is no longer heard of; what cannot be run is failed on the way.

    Of a study that is over (growlab.study.limits) only a trial that has begun is taken.

    With `asked_before` the answer to the same question was lost: a trial that it gave is given once more.
    """
    own = _own(connection, study_id, worker_id, lease_s) if asked_before else None
    silence.heard(connection, worker_id, lease_s)
    if own is not None:
        return _claim(connection, own, _spec(own), study_id, lease_s)
    begun_only = bool(spending.why_over(connection, study_id))
    while taken := _take(connection, study_id, lease_s, begun_only=begun_only):
        _close_superseded(connection, taken.id)
        try:
            spec = _spec(taken)
        except GrowlabError as error:
            _fail(connection, taken.id, f"its row in the database cannot be read: {error}")
            continue
        if reason := _quarantine(connection, taken.id):
            _fail(connection, taken.id, reason)
            continue
        _begin_attempt(connection, taken, worker_id)
        return _claim(connection, taken, spec, study_id, lease_s)
    return None


def beat(connection: Connection, claim: Claim, step: int) -> None:
    """Extend the lease, and note how far the trial has come. Raises LeaseLost."""
    fence.hold(connection, claim, step=step)


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
        _fail(connection, claim.trial_id, _struck_out(connection, claim.trial_id))


def _n_trials(connection: Connection, study_id: int) -> int:
    """Read the n_trials of a study that stays there until the end of the transaction. Raises NotFound."""
    asked = select(studies.c.spec["n_trials"].as_integer()).where(studies.c.id == study_id)
    n_trials: int | None = connection.scalar(asked.with_for_update(read=True, key_share=True))
    if n_trials is None:
        raise NotFound("the study was deleted; nothing can be added to it")
    return n_trials


_OF_TAKEN = (
    *(trials.c[name] for name in ("id", "number", "epoch", "layout", "may_pass")),
    cast(trials.c.spec, Text).label("spec"),
)


def _take(connection: Connection, study_id: int, lease_s: float, *, begun_only: bool) -> Row[Any] | None:
    """Find, lock and take a trial in one statement: to select first and update then gives it to several."""
    first = (
        select(trials.c.id)
        .where(trials.c.study_id == study_id, TAKES_WORKERS, or_(trials.c.lease_expires_at.is_(None), may_be_taken()))
        .where(HAS_BEGUN if begun_only else true())
        .order_by(trials.c.number)
        .limit(1)
        .with_for_update(skip_locked=True, of=trials)  # PostgreSQL; SQLite has one writer at a time
        .correlate(None)
        .scalar_subquery()
    )
    return connection.execute(
        update(trials)
        .where(trials.c.id == first)
        .values(
            state=TrialState.RUNNING,
            epoch=trials.c.epoch + 1,
            lease_expires_at=database_now() + lease_s,
            lease_s=lease_s,
            started_at=func.coalesce(trials.c.started_at, database_now()),
        )
        .returning(*_OF_TAKEN)
    ).one_or_none()


def _own(connection: Connection, study_id: int, worker_id: int, lease_s: float) -> Row[Any] | None:
    """Take the trial that this worker holds already, its lease as long as if it were claimed now."""
    is_mine = (
        select(attempts.c.id)
        .where(attempts.c.trial_id == trials.c.id, attempts.c.epoch == trials.c.epoch)
        .where(attempts.c.worker_id == worker_id)
        .exists()
    )
    holds = (trials.c.study_id == study_id) & TAKES_WORKERS & (trials.c.state == TrialState.RUNNING) & is_mine
    held = update(trials).where(holds).values(lease_expires_at=database_now() + lease_s, lease_s=lease_s)
    return connection.execute(held.returning(*_OF_TAKEN)).first()


def _begin_attempt(connection: Connection, taken: Row[Any], worker_id: int) -> None:
    now = {"started_at": database_now(), "heartbeat_at": database_now()}
    row = {"trial_id": taken.id, "epoch": taken.epoch, "worker_id": worker_id, "note": ""}
    connection.execute(insert(attempts).values(**row, **now))


def _claim(connection: Connection, taken: Row[Any], spec: TrialSpec, study_id: int, lease_s: float) -> Claim:
    of_claim = (attempts.c.trial_id == taken.id) & (attempts.c.epoch == taken.epoch)
    attempt_id = connection.scalar(select(attempts.c.id).where(of_claim))
    assert attempt_id is not None
    rungs, rules = _rungs(connection, study_id)
    return Claim(
        trial_id=taken.id,
        number=taken.number,
        epoch=taken.epoch,
        attempt_id=attempt_id,
        study_id=study_id,
        spec=spec,
        layout=taken.layout,
        lease_s=lease_s,
        checkpoint=newest_checkpoint(connection, taken.id),
        ladder=ladder_of(rungs, rules, taken.may_pass),
        rules=rules,
        asked=_asked(connection, study_id),
    )


def _rungs(connection: Connection, study_id: int) -> tuple[Rungs | None, StopRules | None]:
    """Read the rungs and the stop rules of a study, None where it has none. Raises SpecError for a damaged row."""
    columns = [studies.c.spec[section].label(section) for section in ("rungs", "stop")]
    said = connection.execute(select(*columns).where(studies.c.id == study_id)).mappings().one()
    return read_rungs(said["rungs"]), read_stop(said["stop"])


def _asked(connection: Connection, study_id: int) -> tuple[Named, ...]:
    """Read which metrics a study wants of trials that completed. Raises SpecError for a damaged row."""
    columns = [studies.c.spec[section].label(section) for section in (OBJECTIVES, CONSTRAINTS)]
    said = dict(connection.execute(select(*columns).where(studies.c.id == study_id)).mappings().one())
    objectives = stored_objectives(said) if said[OBJECTIVES] else ()
    return measured_at_end([*objectives, *stored_constraints(said)])


def _spec(taken: Row[Any]) -> TrialSpec:
    """Read the spec from the row's text: a driver's reading of a damaged one would cost the claim.

    Raises GrowlabError.
    """
    try:
        spec = trial_spec_from_mapping(json.loads(taken.spec))
        parse(spec.layout)
        return spec
    except (ValueError, RecursionError) as error:
        raise SpecError(f"it is no JSON: {error}") from None


def _close_superseded(connection: Connection, trial_id: int) -> None:
    is_left_open = (attempts.c.trial_id == trial_id) & attempts.c.ended_at.is_(None)
    connection.execute(update(attempts).where(is_left_open).values(ended_at=database_now(), end_reason=EndReason.LOST))


# ---- trials that are not run any more ------------------------------------------------------------------------


def _quarantine(connection: Connection, trial_id: int) -> str:
    """The reason for no further attempt when attempt after attempt was lost and the trial came no further; else ''."""
    asked = select(workers.c.name, attempts.c.end_reason, attempts.c.step).join_from(attempts, workers)
    past = connection.execute(asked.where(attempts.c.trial_id == trial_id).order_by(attempts.c.epoch)).all()
    before, newest = past[:-MOST_LOSSES], past[-MOST_LOSSES:]
    furthest = max((attempt.step for attempt in before), default=0)
    if len(newest) < MOST_LOSSES or any(
        attempt.end_reason != EndReason.LOST or attempt.step > furthest for attempt in newest
    ):
        return ""
    return (
        f"quarantined: {MOST_LOSSES} workers in a row were lost with it (the last: {newest[-1].name}), and none came "
        f"beyond step {furthest}; perhaps it takes more memory than these machines have"
    )


def _struck_out(connection: Connection, trial_id: int) -> str:
    last = connection.execute(
        select(workers.c.name, attempts.c.note)
        .join_from(attempts, workers)
        .where(attempts.c.trial_id == trial_id)
        .order_by(attempts.c.epoch.desc())
        .limit(1)
    ).one()
    note = last.note or f"the process on worker {last.name} died"
    return f"crashed {MAX_STRIKES} times without a new checkpoint; last: {note}"


def _fail(connection: Connection, trial_id: int, error: str) -> None:
    """End the trial as failed. Its last checkpoint stays, as evidence."""
    failed = {"state": TrialState.FAILED, "lease_expires_at": None, "ended_at": database_now()}
    connection.execute(update(trials).where(trials.c.id == trial_id).values(**failed, error=clean_text(error)))
