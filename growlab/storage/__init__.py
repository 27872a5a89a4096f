"""Studies and trials in SQL: the truth, and the queue that workers share. SQLite for one box, PostgreSQL for a fleet.

    store = Store.open("sqlite:///growlab.db", create=True)
    store.create_study(study)
    study_id = store.study("nightly").id
    worker_id = store.register_worker(name="gpu0", device="cuda:0", versions={})
    while claim := store.claim_next(study_id, worker_id, lease_s=60):
        run_trial(claim.spec, LeasedRecorder(store, claim, …))  # and, from time to time, store.beat(claim, step)

`growlab db` uses Database with current_revision, head_revision, upgrade and back_up.
"""

from growlab.queue import MAX_STRIKES, MOST_LOSSES
from growlab.storage.backup import back_up
from growlab.storage.database import Database
from growlab.storage.faults import Patience
from growlab.storage.recorder import LeasedRecorder
from growlab.storage.rows import AttemptRow, Claim, StudyRow, StudySummary, Tally, TrialRow, WorkerRow
from growlab.storage.schema import check_schema, current_revision, ensure_schema, head_revision, upgrade
from growlab.storage.store import Store

__all__ = [
    "MAX_STRIKES",
    "MOST_LOSSES",
    "AttemptRow",
    "Claim",
    "Database",
    "LeasedRecorder",
    "Patience",
    "Store",
    "StudyRow",
    "StudySummary",
    "Tally",
    "TrialRow",
    "WorkerRow",
    "back_up",
    "check_schema",
    "current_revision",
    "ensure_schema",
    "head_revision",
    "upgrade",
]
