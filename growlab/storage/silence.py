"""After a silence of everybody no trial changes hands until all had the time to be heard again.

A server that was away, a network that was cut, a machine that slept: all leases ran out meanwhile, and all their
workers trained on. Who comes back first must not take the others' trials. So a lease that ran out may be taken only
one lease after

    the server's start, or
    the first sign of life that ended a gap of more than half a lease in everybody's signs of life,

whichever is later. The shortest lease that is held counts for the gap, or that of the worker that ends it, if longer:
workers beat four times in a lease, so in a shorter gap no lease runs out, and nobody makes a gap by beating in time. A
worker that is cut off alone is not waited for: the others' signs of life leave no gap. Where leases differ much, a
silence that a worker with long ones ends may go unmarked: fleets do best with one length.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, update

from growlab.records import TrialState
from growlab.storage.clock import database_now, server_started_at
from growlab.storage.tables import TAKES_WORKERS, trials, workers

_UNKNOWN_LEASE_S = 60.0  # of a claim that a growlab of schema 0002 made


def heard(connection: Connection, worker: Any, lease_s: float = 0.0) -> None:
    """Note a sign of life of the worker with the id `worker` and such leases; it may be the one that ends a silence."""
    connection.execute(
        update(workers)
        .where(workers.c.id == worker)
        .values(
            heartbeat_at=database_now(),
            silence_ended_at=case((_all_were_silent(lease_s), database_now()), else_=workers.c.silence_ended_at),
        )
    )


def may_be_taken() -> ColumnElement[bool]:
    """Whether a trial's lease ran out, and not in a silence that has just ended."""
    lease_s = func.coalesce(trials.c.lease_s, _UNKNOWN_LEASE_S)
    silence_ended_at = select(func.max(workers.c.silence_ended_at)).scalar_subquery()
    return and_(
        trials.c.lease_expires_at < database_now(),
        server_started_at() + lease_s <= database_now(),
        or_(silence_ended_at.is_(None), silence_ended_at + lease_s <= database_now()),
    )


def _all_were_silent(lease_s: float) -> ColumnElement[bool]:
    """Whether a silence ends now; unknown, and so no, where no lease is held."""
    last = select(func.max(workers.c.heartbeat_at)).scalar_subquery()
    shortest = (
        select(func.min(func.coalesce(trials.c.lease_s, _UNKNOWN_LEASE_S)))
        .where(TAKES_WORKERS, trials.c.state == TrialState.RUNNING)
        .scalar_subquery()
    )
    return and_(database_now() - last > shortest / 2, database_now() - last > lease_s / 2)
