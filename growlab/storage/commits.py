"""The commit point of a run: a checkpoint and all facts since the one before, in one transaction.

What a worker has not committed has not happened. So facts and checkpoint never disagree: after a
crash the trial goes on from the checkpoint and makes the later facts again.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, update

from growlab.errors import LeaseLost
from growlab.finite import finite
from growlab.records import LOSSES, Artifact, EndReason, Fact, TrialResult, TrialState
from growlab.storage import fence
from growlab.storage.artifacts import CHECKPOINT, forget_checkpoint, write_artifacts
from growlab.storage.clock import database_now
from growlab.storage.facts import forget_facts, write_facts
from growlab.storage.rows import Claim
from growlab.storage.tables import attempts
from growlab.storage.values import clean_text


def commit(connection: Connection, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
    """Replace the trial's checkpoint, add facts, forgive strikes. Repeated, it changes nothing. Raises LeaseLost."""
    assert checkpoint.kind == CHECKPOINT, checkpoint.kind
    fence.hold(connection, claim, step=checkpoint.step, strikes=0)
    forget_checkpoint(connection, claim.trial_id)
    write_artifacts(connection, claim, [checkpoint])
    write_facts(connection, claim, facts)


def finish(
    connection: Connection, claim: Claim, result: TrialResult, facts: Sequence[Fact], artifacts: Sequence[Artifact]
) -> None:
    """Give the trial its final state. Raises LeaseLost.

    A repeated finish, whose first answer was lost on the way, changes nothing.
    """
    assert result.state.is_final, result.state
    try:
        fence.hold(connection, claim, lease_expires_at=None, ended_at=database_now(), **_columns(result))
    except LeaseLost:
        if fence.ended_as(connection, claim) is EndReason.FINISHED:
            return
        raise
    fence.end_attempt(connection, claim, EndReason.FINISHED, "")
    forget_checkpoint(connection, claim.trial_id)
    write_artifacts(connection, claim, artifacts)
    write_facts(connection, claim, facts)


def pause(connection: Connection, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
    """Give the trial back at a rung that it may not pass, with all that a commit writes. Raises LeaseLost.

    A repeated pause, whose first answer was lost on the way, changes nothing.
    """
    assert checkpoint.kind == CHECKPOINT, checkpoint.kind
    at_rung = {"state": TrialState.PAUSED, "lease_expires_at": None, "strikes": 0}
    try:
        fence.hold(connection, claim, step=checkpoint.step, **at_rung)
    except LeaseLost:
        if fence.ended_as(connection, claim) is EndReason.PAUSED:
            return
        raise
    fence.end_attempt(connection, claim, EndReason.PAUSED, "")
    forget_checkpoint(connection, claim.trial_id)
    write_artifacts(connection, claim, [checkpoint])
    write_facts(connection, claim, facts)


def start_over(connection: Connection, claim: Claim, note: str) -> None:
    """Forget a checkpoint that cannot be used, with the facts that it stood for, and note why. Raises LeaseLost."""
    fence.hold(connection, claim)
    connection.execute(update(attempts).where(attempts.c.id == claim.attempt_id).values(note=clean_text(note)))
    forget_checkpoint(connection, claim.trial_id)
    forget_facts(connection, claim.trial_id)


def _columns(result: TrialResult) -> dict[str, Any]:
    """The columns of a result. A loss that is not finite ranks nowhere: NULL. Its curve keeps what it was."""
    losses = {name: finite(getattr(result, name)) for name in LOSSES}
    texts = {name: clean_text(getattr(result, name)) for name in ("layout_end", "sample", "error", "engine")}
    return asdict(result) | losses | texts | {"flops": float(result.flops)}
