"""Trials that wait at rungs: what they came to there, and the decisions that they go on.

Revision ID: 0006
Revises: 0005

A state and a reason are added to checks, which SQLite can change in a copy of the table only. The copy is made of the
table's own definition, and remembers which ids were ever given. Tables are locked in the order in which workers do.
"""

import sqlalchemy as sa
from alembic import op

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
    _replace_check("gl_trials", "state", _STATES, _STATES_SINCE)
    _replace_check("gl_attempts", "end_reason", _REASONS, _REASONS_SINCE)
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
    _replace_check("gl_attempts", "end_reason", _REASONS_SINCE, _REASONS)
    op.execute("UPDATE gl_trials SET state = 'queued' WHERE state = 'paused'")
    _replace_check("gl_trials", "state", _STATES_SINCE, _STATES)
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


def _replace_check(table: str, column: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Let a column have the values `after`, and no others."""
    if op.get_bind().dialect.name == "sqlite":
        _copy(table, _one_of(column, before), _one_of(column, after))
        return
    name = op.f(f"ck_{table}_{column}")
    op.drop_constraint(name, table)
    op.create_check_constraint(name, table, _one_of(column, after))


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _copy(table: str, before: str, after: str) -> None:
    """Replace a table by a copy that says `after` where its definition says `before`; foreign keys are off meanwhile.

    As sqlite.org/lang_altertable.html has it, section 7; other tables refer to the new one then.
    """
    execute = op.get_bind().exec_driver_sql
    made, indexes = f"{table}_since_0006", "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
    [definition] = execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).one()
    of_indexes = [sql for (sql,) in execute(indexes, (table,)) if sql]  # a key's own has none
    given = execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar()
    assert before in definition, definition
    head, columns = definition.replace(before, after).split("(", 1)
    execute(f"{head.replace(table, made)}({columns}")
    execute(f"INSERT INTO {made} SELECT * FROM {table}")
    execute(f"DROP TABLE {table}")
    execute(f"ALTER TABLE {made} RENAME TO {table}")
    for sql in of_indexes:
        execute(sql)
    execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    if given is not None:
        execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, given))
