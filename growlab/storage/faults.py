"""Database faults: which of them pass by themselves, and how to say the others in one line."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

_SQLITE_PASSING = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED
_POSTGRESQL_PASSING = {
    "25006",  # read-only: a standby that is being promoted
    "40001",  # serialization failure
    "40P01",  # deadlock
    "53300",  # too many connections
    "55P03",  # lock not available
    "57P01",  # the server shuts down
    "57P02",  # it crashed
    "57P03",  # it starts up
}
_INSUFFICIENT_PRIVILEGE = "42501"
# How a server refuses a connection for good. libpq gives no code for that; a server that speaks another language is
# taken for one that is away, and waited for.
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted to log in")


@dataclass(frozen=True)
class Patience:
    """The seconds for which a database that is away is waited for, and who is told before every new try."""

    for_s: float
    goes_on: Callable[[str], bool] = lambda why: True  # False gives up


NO_PATIENCE = Patience(0.0)


def patiently(action: Callable[[], T], patience: Patience) -> T:
    """Give the action's result, trying again while its faults are of the passing sort and patience lasts.

    An action that committed and lost only the answer is done twice: it must bear that.
    """
    deadline = time.monotonic() + patience.for_s
    for wait_s in back_off():
        try:
            return action()
        except DBAPIError as error:
            is_over = time.monotonic() + wait_s > deadline
            if not is_passing(error) or is_over or not patience.goes_on(message_of(error)):
                raise
        time.sleep(wait_s)
    raise AssertionError("the back-off has no end")


def is_passing(error: DBAPIError) -> bool:
    """Whether a fault passes by itself: a lost connection, a locked file, a server that restarts."""
    if error.connection_invalidated:
        return True
    if sqlite_code := getattr(error.orig, "sqlite_errorcode", None):
        return sqlite_code & 0xFF in _SQLITE_PASSING
    code = getattr(error.orig, "sqlstate", None)
    if code is None:  # libpq gives no code when it gets no connection
        is_connecting = isinstance(error, exc.OperationalError) and type(error.orig).__module__.startswith("psycopg")
        return is_connecting and not any(refusal in str(error.orig) for refusal in _REFUSED)
    return code in _POSTGRESQL_PASSING


def is_ours(error: DBAPIError) -> bool:
    """Whether a fault is a wrong statement or a broken constraint: a slip of growlab's, which deserves a traceback."""
    is_connecting = error.statement is None  # a URL's unknown option is a 'programming error' too
    if is_connecting or getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
        return False
    return isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError)


def message_of(error: DBAPIError) -> str:
    """The first line of a driver's message. It names host, port and user; drivers do not repeat passwords."""
    lines = str(error.orig).strip().splitlines()
    return lines[0].strip() if lines else type(error.orig).__name__


def back_off() -> Iterator[float]:
    """Yield waits of 0.05 s, doubling up to 5 s, cut at random so that a fleet does not return in step."""
    wait_s = 0.05
    while True:
        yield wait_s * random.uniform(0.5, 1.0)
        wait_s = min(2 * wait_s, 5.0)
