"""Trials that a stop rule ended, and why.

Revision ID: 0007
Revises: 0006

A state is added to a check (growlab.storage.checks).
"""

import sqlalchemy as sa
from alembic import op

from growlab.storage.checks import replace_check

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATES = ("queued", "running", "paused", "completed", "diverged", "leak", "failed")
_STATES_SINCE = ("queued", "running", "paused", "completed", "diverged", "stopped", "leak", "failed")


def upgrade() -> None:
    replace_check("gl_trials", "state", _STATES, _STATES_SINCE)
    op.create_table(
        "gl_stops",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("val_loss", sa.Double(), nullable=False),
        sa.Column("bound", sa.Double(), nullable=False),
        sa.Column("n_evaluations", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["gl_trials.id"], name="fk_gl_stops_trial_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trial_id", name="pk_gl_stops"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Take trials that were stopped for failed ones, as a growlab of before knows none."""
    op.drop_table("gl_stops")
    op.execute("UPDATE gl_trials SET state = 'failed' WHERE state = 'stopped'")
    replace_check("gl_trials", "state", _STATES_SINCE, _STATES)
