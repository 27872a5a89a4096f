"""Who works here: for people who look, and for what a refusal says. No lease hangs on these rows."""

import os
import socket
from typing import Any

from sqlalchemy import Connection, insert, update

from growlab.storage import silence
from growlab.storage.clock import database_now
from growlab.storage.tables import workers
from growlab.storage.values import clean_text


def register_worker(connection: Connection, *, name: str, device: str, versions: dict[str, Any], lease_s: float) -> int:
    row = {
        "name": clean_text(name),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device,
        "versions": versions,
    }
    unheard = {"started_at": database_now(), "heartbeat_at": 0.0}  # until the next statement, which looks at all others
    worker_id: int | None = connection.scalar(insert(workers).values(**row, **unheard).returning(workers.c.id))
    assert worker_id is not None
    silence.heard(connection, worker_id, lease_s)
    return worker_id


def end_worker(connection: Connection, worker_id: int) -> None:
    connection.execute(update(workers).where(workers.c.id == worker_id).values(ended_at=database_now()))
