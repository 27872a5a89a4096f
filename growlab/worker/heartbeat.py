"""The sign of life of a trial that is being trained."""

import threading
import time

from growlab.errors import DatabaseAway
from growlab.storage import Claim, Store
from growlab.worker.signals import leave_signals_to_others

BEATS_PER_LEASE = 4
_MOST_PAUSE_S = 5.0  # between two tries while the database is away


class Heartbeat:
    """Beats for a claim until `end`, in a thread of its own: a database that does not answer holds up nothing else.

    step    where the trial stands, which each beat tells; its owner keeps it up to date
    away    why the database does not answer just now; '' while it does
    fault   what ended it: LeaseLost, DatabaseAway after `patience_s`, or anything that waiting does not mend
    """

    def __init__(self, store: Store, claim: Claim, patience_s: float) -> None:
        self.step = 0
        self.away = ""
        self.fault: Exception | None = None
        self.claim = claim
        self._store, self._patience_s = store, patience_s
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True, name="heartbeat").start()

    def end(self) -> None:
        """Begin no beat after this; one that is under way can do no harm, being fenced."""
        self._ended.set()

    def _run(self) -> None:
        leave_signals_to_others()
        pause_s = self.claim.lease_s / BEATS_PER_LEASE
        heard_at = time.monotonic()
        while not self._ended.wait(min(pause_s, _MOST_PAUSE_S) if self.away else pause_s):
            try:
                self._store.beat(self.claim, self.step)
            except DatabaseAway as error:
                self.away = str(error)
                if time.monotonic() - heard_at > self._patience_s:
                    self.fault = error
                    return
            except Exception as error:
                self.fault = error
                return
            else:
                self.away, heard_at = "", time.monotonic()
