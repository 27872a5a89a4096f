"""What a study was before each change, and which of these revisions a decision was made by.

Revision ID: 0005
Revises: 0004

The tables are altered where they are, never copied, as in 0002. What was changed before is not known: the study as it
is counts as revision 0.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gl_studies", recreate="never") as studies:
        studies.add_column(sa.Column("former_specs", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("gl_decisions", recreate="never") as decisions:
        decisions.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for table, column in (("gl_decisions", "revision"), ("gl_studies", "former_specs")):
        with op.batch_alter_table(table, recreate="never") as altered:
            altered.drop_column(column)
