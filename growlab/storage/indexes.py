"""The tables with their indexes: what a database has, compared with what alembic/ makes of it.

A statement does not name an index; a partial one makes SQLAlchemy load both databases' dialects, which would take a
report a twentieth.
"""

from sqlalchemy import Index

from growlab.storage.tables import TAKES_WORKERS, metadata, trials, workers

__all__ = ["metadata"]

Index("heard", workers.c.heartbeat_at)  # each beat asks for the newest
# Serves the claim: however many trials have ended or are paused, it walks the others by number.
Index("open", trials.c.study_id, trials.c.number, sqlite_where=TAKES_WORKERS, postgresql_where=TAKES_WORKERS)
