"""How the steps of a trial were executed.

Revision ID: 0002
Revises: 0001

The table is altered where it is, never copied: SQLite would forget in a copy that it gives no id twice, and copying
takes as long as there are trials.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gl_trials", recreate="never") as trials:
        trials.add_column(sa.Column("engine", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("gl_trials", recreate="never") as trials:
        trials.drop_column("engine")
