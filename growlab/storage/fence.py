"""The fence: whoever writes to a trial must hold its newest claim.

    UPDATE gl_trials SET lease_expires_at = now + lease WHERE id = … AND epoch = … AND state = 'running'

One row changed: the claim is good, its lease is longer, and the row stays locked until the end of the
transaction, so that nobody takes the trial between the check and the writing. No row: LeaseLost, and
what was to be written is rolled back. A lease that ran out while nobody took the trial is simply renewed:
that is how a worker keeps its trial through a time in which the database was away.
"""

from typing import Any

from sqlalchemy import Connection, and_, case, literal, select, update

from growlab.errors import LeaseLost
from growlab.records import EndReason, TrialState
from growlab.storage import silence
from growlab.storage.clock import database_now
from growlab.storage.rows import Claim
from growlab.storage.tables import attempts, trials, workers


def hold(connection: Connection, claim: Claim, *, step: int = 0, **changes: Any) -> None:
    """Lock the trial's row, extend the lease and make these changes to the row. Raises LeaseLost.

    `step` is where the trial stands, as far as the caller knows.
    """
    values = {"lease_expires_at": database_now() + claim.lease_s, **changes}
    is_held = and_(trials.c.id == claim.trial_id, trials.c.epoch == claim.epoch, trials.c.state == TrialState.RUNNING)
    if connection.execute(update(trials).where(is_held).values(values)).rowcount != 1:
        raise _lost(connection, claim)
    furthest = case((attempts.c.step < step, step), else_=attempts.c.step)
    alive = update(attempts).where(attempts.c.id == claim.attempt_id)
    connection.execute(alive.values(heartbeat_at=database_now(), step=furthest))
    worker_id = select(attempts.c.worker_id).where(attempts.c.id == claim.attempt_id).scalar_subquery()
    silence.heard(connection, worker_id, claim.lease_s)


def ended_as(connection: Connection, claim: Claim) -> EndReason | None:
    """The reason for which this very attempt ended; unless it was lost, it was its own worker that ended it."""
    reason = connection.scalar(select(attempts.c.end_reason).where(attempts.c.id == claim.attempt_id))
    return EndReason(reason) if reason else None


def end_attempt(connection: Connection, claim: Claim, reason: EndReason, note: str) -> None:
    values: dict[str, Any] = {"ended_at": database_now(), "end_reason": reason}
    if note:  # an empty one must not wipe out why a checkpoint was not used
        values["note"] = note
    connection.execute(update(attempts).where(attempts.c.id == claim.attempt_id).values(values))


def _lost(connection: Connection, claim: Claim) -> LeaseLost:
    row = connection.execute(
        select(
            workers.c.name,
            attempts.c.end_reason,
            (database_now() - attempts.c.heartbeat_at - literal(claim.lease_s)).label("expired_s"),
        )
        .join_from(attempts, workers)
        .where(attempts.c.id == claim.attempt_id)
    ).one_or_none()
    if row is None:
        return LeaseLost(f"trial {claim.number} is gone (its study was deleted); its result is dropped")
    why = f"the attempt is {row.end_reason}"
    if row.end_reason in (None, EndReason.LOST):
        why = f"lease expired {max(row.expired_s, 0):.0f} s ago"
    return LeaseLost(f"worker {row.name} no longer owns trial {claim.number} ({why}); its result is dropped")
