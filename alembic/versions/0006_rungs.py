"""Trials that wait at rungs: what they came to there, and the decisions that they go on.

Revision ID: 0006
Revises: 0005

A state and a reason are added to checks (growlab.storage.checks). Tables are locked in the order in which workers do.
"""

import sqlalchemy as sa
from alembic import op

from growlab.storage.checks import replace_check

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATES = ("queued", "running", "completed", "diverged", "leak", "failed")
_STATES_SINCE = ("queued", "running", "paused", "completed", "diverged", "leak", "failed")
_REASONS = ("finished", "stopped", "crashed", "lost")
_REASONS_SINCE = ("finished", "paused", "stopped", "crashed", "lost")


def upgrade() -> None:
    with op.batch_alter_table("gl_trials", recreate="never") as trials:
        trials.add_column(sa.Column("may_pass", sa.Integer(), nullable=False, server_default="0"))
    replace_check("gl_trials", "state", _STATES, _STATES_SINCE)
    replace_check("gl_attempts", "end_reason", _REASONS, _REASONS_SINCE)
    with op.batch_alter_table("gl_decisions", recreate="never") as decisions:
        decisions.add_column(sa.Column("climbs", sa.JSON(), nullable=False, server_default="[]"))
    _make_rungs()
    _make_promotions()


def downgrade() -> None:
    """Give paused trials back to the queue, of which a growlab of before trains each to its end."""
    op.drop_table("gl_promotions")
    op.drop_table("gl_rungs")
    with op.batch_alter_table("gl_decisions", recreate="never") as decisions:
        decisions.drop_column("climbs")
    op.execute("UPDATE gl_attempts SET end_reason = 'stopped' WHERE end_reason = 'paused'")
    replace_check("gl_attempts", "end_reason", _REASONS_SINCE, _REASONS)
    op.execute("UPDATE gl_trials SET state = 'queued' WHERE state = 'paused'")
    replace_check("gl_trials", "state", _STATES_SINCE, _STATES)
    with op.batch_alter_table("gl_trials", recreate="never") as trials:
        trials.drop_column("may_pass")


def _make_rungs() -> None:
    op.create_table(
        "gl_rungs",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Double(), nullable=False),
        sa.Column("flops", sa.Double(), nullable=False),
        sa.Column("val_loss", sa.Double(), nullable=True),
        sa.Column("bits_per_byte", sa.Double(), nullable=True),
        sa.Column("slope", sa.Double(), nullable=True),
        sa.Column("extra_flops", sa.Double(), nullable=False),
        sa.Column("not_finite", sa.Text(), nullable=False),
        _of_trial("gl_rungs"),
        sa.PrimaryKeyConstraint("trial_id", "rung", name="pk_gl_rungs"),
        sqlite_with_rowid=False,
    )


def _make_promotions() -> None:
    op.create_table(
        "gl_promotions",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("finished", sa.JSON(), nullable=False),
        sa.Column("running", sa.JSON(), nullable=False),
        sa.Column("climbs", sa.JSON(), nullable=False),
        sa.Column("predicted_mean", sa.Double(), nullable=True),
        sa.Column("predicted_sd", sa.Double(), nullable=True),
        sa.Column("predicted_runs", sa.Double(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _of_trial("gl_promotions"),
        sa.PrimaryKeyConstraint("trial_id", "rung", name="pk_gl_promotions"),
        sqlite_with_rowid=False,
    )


def _of_trial(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["trial_id"], ["gl_trials.id"], name=f"fk_{table}_trial_id", ondelete="CASCADE")
