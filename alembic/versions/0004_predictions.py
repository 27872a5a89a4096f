"""What a search expected of each trial before it ran.

Revision ID: 0004
Revises: 0003

The table is altered where it is, never copied, as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PREDICTED = ("predicted_mean", "predicted_sd", "predicted_runs")


def upgrade() -> None:
    with op.batch_alter_table("gl_decisions", recreate="never") as decisions:
        for name in _PREDICTED:
            decisions.add_column(sa.Column(name, sa.Double()))


def downgrade() -> None:
    with op.batch_alter_table("gl_decisions", recreate="never") as decisions:
        for name in reversed(_PREDICTED):
            decisions.drop_column(name)
