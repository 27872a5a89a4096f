"""The tables, for writing statements. What a database really has is made by alembic/; a test keeps it equal to these
and their indexes (growlab.storage.indexes).

    gl_studies ─┬─< gl_trials ─┬─< gl_attempts >── gl_workers
                               ├─< gl_metrics, gl_trajectory, gl_growth_events, gl_rungs    facts, rewritten by a
                               ├─< gl_artifacts                                             resumed attempt
                               ├── gl_decisions
                               └─< gl_promotions

All times are the database's clock, UTC seconds since 1970. A trial's `epoch` is its fencing token:
it rises with each claim, and whoever writes must hold the newest. Deleting a study deletes all of it.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    or_,
)

from growlab.records import EndReason, PathStatistics, TrialState, float_fields

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(constraint_name)s",
    }
)


def _one_of(column: str, *values: str) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=column)


def _of_trial(*, primary_key: bool) -> Column[int]:
    return Column(
        "trial_id", Integer, ForeignKey("gl_trials.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
    )


# AUTOINCREMENT, here and below: SQLite would give a deleted trial's id to a new one, and a worker that
# slept through the deletion would hold a claim with that id and, as likely as not, its epoch.
studies = Table(
    "gl_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("spec", JSON, nullable=False),  # growlab.study.column.study_to_mapping
    # since 0005: what `spec` was before each change, the oldest first; their number is the study's revision
    Column("former_specs", JSON, nullable=False, server_default="[]"),
    UniqueConstraint("name"),
    sqlite_autoincrement=True,
)

workers = Table(
    "gl_workers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("ended_at", Double),
    # since 0003: when this worker was the first one to be heard again after a silence of all (growlab.storage.silence)
    Column("silence_ended_at", Double),
    sqlite_autoincrement=True,
)

trials = Table(
    "gl_trials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("gl_studies.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),  # from 0, in the order of proposal
    Column("state", Text, nullable=False),
    Column("spec", JSON, nullable=False),  # growlab.study.column.trial_spec_to_mapping
    Column("layout", Text, nullable=False),  # the short text that people read; the complete one is in spec
    Column("layout_hash", Text, nullable=False),
    Column("params", JSON, nullable=False),  # scalars as the sampler drew them
    Column("depth_start", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),  # 0 before the first claim
    Column("lease_expires_at", Double),
    Column("strikes", Integer, nullable=False),  # attempts that crashed since the newest checkpoint
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    # growlab.records.TrialResult
    Column("layout_end", Text),
    Column("depth_end", Integer),
    Column("n_params", BigInteger),
    Column("val_loss", Double),
    Column("best_val_loss", Double),
    Column("bits_per_byte", Double),
    Column("flops", Double),  # BIGINT ends after three hours of one large GPU; whole numbers are exact to 2**53
    Column("tokens", BigInteger),
    Column("steps", BigInteger),
    Column("elapsed_s", Double),
    Column("sample", Text, nullable=False),
    Column("error", Text, nullable=False),
    # since 0002; the default is for the rows before, and for workers of 0001 that are at work during the upgrade
    Column("engine", Text, nullable=False, server_default=""),
    Column("lease_s", Double),  # since 0003: how long the newest claim's lease is; NULL of a claim before
    Column("may_pass", Integer, nullable=False, server_default="0"),  # since 0006: rungs; how often it was promoted
    UniqueConstraint("study_id", "number"),
    _one_of("state", *TrialState),
    CheckConstraint("number >= 0", name="number"),
    CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
    sqlite_autoincrement=True,
)

# Literals, not parameters: a planner uses a partial index only if it can see that the query asks for no more.
TAKES_WORKERS = trials.c.state.in_([literal_column("'queued'"), literal_column("'running'")])
IS_OPEN = or_(TAKES_WORKERS, trials.c.state == literal_column("'paused'"))

attempts = Table(
    "gl_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    _of_trial(primary_key=False),
    Column("epoch", Integer, nullable=False),
    Column("worker_id", Integer, ForeignKey("gl_workers.id"), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("end_reason", Text),
    Column("note", Text, nullable=False),  # why a checkpoint was not used, a crash's words, …
    Column("step", BigInteger, nullable=False, server_default="0"),  # since 0003: the furthest that was heard of it
    UniqueConstraint("trial_id", "epoch"),
    _one_of("end_reason", *EndReason),
    sqlite_autoincrement=True,
)

# ---- facts: `epoch` is the attempt that wrote them last; clustered by key on SQLite ---------------------------

metrics = Table(
    "gl_metrics",
    metadata,
    _of_trial(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("split", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("value", Double),
    Column("state", Text, nullable=False),  # what the value is when it is NULL
    _one_of("state", "ok", "nan", "inf", "-inf"),
    sqlite_with_rowid=False,
)

trajectory = Table(
    "gl_trajectory",
    metadata,
    _of_trial(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("unit", Integer, primary_key=True),
    Column("tensor", Text, primary_key=True),  # '' for the mean over the unit
    Column("epoch", Integer, nullable=False),
    Column("n_increments", Integer, nullable=False),
    *(Column(name, Double) for name in float_fields(PathStatistics)),
    Column("state", Text, nullable=False),  # still: nothing moved; closed: tau is infinite
    Column("not_finite", Text, nullable=False),  # growlab.storage.values
    _one_of("state", "ok", "still", "closed"),
    sqlite_with_rowid=False,
)

growth_events = Table(
    "gl_growth_events",
    metadata,
    _of_trial(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("unit", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tau", Double),
    Column("kappa", Double),
    Column("val_loss_before", Double),
    Column("val_loss_after", Double),
    Column("depth_before", Integer, nullable=False),
    Column("depth_after", Integer, nullable=False),
    Column("n_params_after", BigInteger, nullable=False),
    Column("not_finite", Text, nullable=False),
    sqlite_with_rowid=False,
)

rungs = Table(  # since 0006
    "gl_rungs",
    metadata,
    _of_trial(primary_key=True),
    Column("rung", Integer, primary_key=True),  # from 0, the lowest
    Column("epoch", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("mark", Double, nullable=False),  # as all FLOPs
    Column("flops", Double, nullable=False),
    Column("val_loss", Double),
    Column("bits_per_byte", Double),
    Column("slope", Double),
    Column("extra_flops", Double, nullable=False),
    Column("not_finite", Text, nullable=False),
    sqlite_with_rowid=False,
)

stops = Table(  # since 0007: of trials that a stop rule ended (growlab.records.EarlyStop)
    "gl_stops",
    metadata,
    _of_trial(primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("flops", Double, nullable=False),
    Column("share", Double, nullable=False),
    Column("val_loss", Double, nullable=False),
    Column("bound", Double, nullable=False),
    Column("n_evaluations", Integer, nullable=False),
    Column("rung", Integer),
    Column("seen", JSON, nullable=False),  # trial numbers
    Column("revision", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# ---- the rest of a trial ---------------------------------------------------------------------------------------

artifacts = Table(
    "gl_artifacts",
    metadata,
    Column("id", Integer, primary_key=True),
    _of_trial(primary_key=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    UniqueConstraint("trial_id", "kind", "step", "path"),
    sqlite_autoincrement=True,
)

decisions = Table(
    "gl_decisions",
    metadata,
    _of_trial(primary_key=True),
    Column("seed", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("parent", Integer),  # a trial number
    Column("mutation", Text, nullable=False),
    Column("finished", JSON, nullable=False),
    Column("running", JSON, nullable=False),
    # since 0004: what was expected of the trial (records.Prediction); NULL where no model chose it
    Column("predicted_mean", Double),
    Column("predicted_sd", Double),
    Column("predicted_runs", Double),
    Column("revision", Integer, nullable=False, server_default="0"),  # since 0005: of the study that was asked
    # since 0006: of the running ones those that had come to a rung, as [trial, readings, may_pass] (records.Climb)
    Column("climbs", JSON, nullable=False, server_default="[]"),
)

promotions = Table(  # since 0006
    "gl_promotions",
    metadata,
    _of_trial(primary_key=True),
    Column("rung", Integer, primary_key=True),  # at which it waited
    Column("finished", JSON, nullable=False),  # this and all below as in gl_decisions
    Column("running", JSON, nullable=False),
    Column("climbs", JSON, nullable=False),
    Column("predicted_mean", Double),
    Column("predicted_sd", Double),
    Column("predicted_runs", Double),
    Column("revision", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    sqlite_with_rowid=False,
)
