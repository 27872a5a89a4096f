"""How far each attempt is known to have come, how long each lease is, and when a silence of all workers ended.

Revision ID: 0003
Revises: 0002

The tables are altered where they are, never copied, as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gl_attempts", recreate="never") as attempts:
        attempts.add_column(sa.Column("step", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("gl_trials", recreate="never") as trials:
        trials.add_column(sa.Column("lease_s", sa.Double()))
    with op.batch_alter_table("gl_workers", recreate="never") as workers:
        workers.add_column(sa.Column("silence_ended_at", sa.Double()))
    op.create_index(op.f("ix_gl_workers_heard"), "gl_workers", ["heartbeat_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_gl_workers_heard"), "gl_workers")
    for table, column in (("gl_workers", "silence_ended_at"), ("gl_trials", "lease_s"), ("gl_attempts", "step")):
        with op.batch_alter_table(table, recreate="never") as altered:
            altered.drop_column(column)
