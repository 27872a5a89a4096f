"""Studies, trials under leases, and what the trials say.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    make_studies_and_workers()
    make_trials()
    make_attempts()
    make_facts()
    make_artifacts_and_decisions()


def make_studies_and_workers() -> None:
    op.create_table(
        "gl_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gl_studies"),
        sa.UniqueConstraint("name", name="uq_gl_studies_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "gl_workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_gl_workers"),
        sqlite_autoincrement=True,
    )


def make_trials() -> None:
    op.create_table(
        "gl_trials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("layout_hash", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("depth_start", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("layout_end", sa.Text(), nullable=True),
        sa.Column("depth_end", sa.Integer(), nullable=True),
        sa.Column("n_params", sa.BigInteger(), nullable=True),
        sa.Column("val_loss", sa.Double(), nullable=True),
        sa.Column("best_val_loss", sa.Double(), nullable=True),
        sa.Column("bits_per_byte", sa.Double(), nullable=True),
        sa.Column("flops", sa.Double(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("steps", sa.BigInteger(), nullable=True),
        sa.Column("elapsed_s", sa.Double(), nullable=True),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'diverged', 'leak', 'failed')", name=op.f("ck_gl_trials_state")
        ),
        sa.CheckConstraint("number >= 0", name=op.f("ck_gl_trials_number")),
        sa.CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name=op.f("ck_gl_trials_lease")),
        sa.ForeignKeyConstraint(["study_id"], ["gl_studies.id"], name="fk_gl_trials_study_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_gl_trials"),
        sa.UniqueConstraint("study_id", "number", name="uq_gl_trials_study_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_gl_trials_open"), "gl_trials", ["study_id", "number"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def make_attempts() -> None:
    op.create_table(
        "gl_attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "end_reason IN ('finished', 'stopped', 'crashed', 'lost')", name=op.f("ck_gl_attempts_end_reason")
        ),
        of_trial("gl_attempts"),
        sa.ForeignKeyConstraint(["worker_id"], ["gl_workers.id"], name="fk_gl_attempts_worker_id"),
        sa.PrimaryKeyConstraint("id", name="pk_gl_attempts"),
        sa.UniqueConstraint("trial_id", "epoch", name="uq_gl_attempts_trial_id_epoch"),
        sqlite_autoincrement=True,
    )


def make_facts() -> None:
    op.create_table(
        "gl_metrics",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ok', 'nan', 'inf', '-inf')", name=op.f("ck_gl_metrics_state")),
        of_trial("gl_metrics"),
        sa.PrimaryKeyConstraint("trial_id", "step", "split", "name", name="pk_gl_metrics"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gl_trajectory",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("tensor", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("n_increments", sa.Integer(), nullable=False),
        sa.Column("tau", sa.Double(), nullable=True),
        sa.Column("kappa", sa.Double(), nullable=True),
        sa.Column("diffusion_exponent", sa.Double(), nullable=True),
        sa.Column("drift_to_noise", sa.Double(), nullable=True),
        sa.Column("drift_z", sa.Double(), nullable=True),
        sa.Column("path", sa.Double(), nullable=True),
        sa.Column("displacement", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_finite", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ok', 'still', 'closed')", name=op.f("ck_gl_trajectory_state")),
        of_trial("gl_trajectory"),
        sa.PrimaryKeyConstraint("trial_id", "step", "unit", "tensor", name="pk_gl_trajectory"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gl_growth_events",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tau", sa.Double(), nullable=True),
        sa.Column("kappa", sa.Double(), nullable=True),
        sa.Column("val_loss_before", sa.Double(), nullable=True),
        sa.Column("val_loss_after", sa.Double(), nullable=True),
        sa.Column("depth_before", sa.Integer(), nullable=False),
        sa.Column("depth_after", sa.Integer(), nullable=False),
        sa.Column("n_params_after", sa.BigInteger(), nullable=False),
        sa.Column("not_finite", sa.Text(), nullable=False),
        of_trial("gl_growth_events"),
        sa.PrimaryKeyConstraint("trial_id", "step", "position", name="pk_gl_growth_events"),
        sqlite_with_rowid=False,
    )


def make_artifacts_and_decisions() -> None:
    op.create_table(
        "gl_artifacts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        of_trial("gl_artifacts"),
        sa.PrimaryKeyConstraint("id", name="pk_gl_artifacts"),
        sa.UniqueConstraint("trial_id", "kind", "step", "path", name="uq_gl_artifacts_trial_id_kind_step_path"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "gl_decisions",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("mutation", sa.Text(), nullable=False),
        sa.Column("finished", sa.JSON(), nullable=False),
        sa.Column("running", sa.JSON(), nullable=False),
        of_trial("gl_decisions"),
        sa.PrimaryKeyConstraint("trial_id", name="pk_gl_decisions"),
    )


def of_trial(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["trial_id"], ["gl_trials.id"], name=f"fk_{table}_trial_id", ondelete="CASCADE")


def downgrade() -> None:
    for table in ("decisions", "artifacts", "growth_events", "trajectory", "metrics", "attempts", "trials"):
        op.drop_table(f"gl_{table}")
    op.drop_table("gl_workers")
    op.drop_table("gl_studies")
