"""One database: opened by its URL, read and written by actions on a connection."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from growlab.errors import DatabaseAway, StorageError
from growlab.storage.address import Address, read_address
from growlab.storage.engine import BUSY_TIMEOUT_S, READS, make_engine
from growlab.storage.faults import NO_PATIENCE, Patience, is_ours, is_passing, message_of, patiently
from growlab.suggest import command

T = TypeVar("T")


class Database:
    """A database of which each action runs in a transaction of its own; what it raises rolls the transaction back.

    Faults of the passing sort are tried again while the patience lasts; then they are DatabaseAway. Any other fault
    of the world is a StorageError: one line without the password. Slips of our own stay tracebacks.
    """

    def __init__(self, address: Address, engine: Engine) -> None:
        self.shown = address.shown
        self.label = address.label
        self.options = address.options  # by which another command finds it
        self._without_hidden = address.without_hidden
        self.engine = engine

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Self:
        """Open a database.

        Raises StorageError for a URL that is not understood and for a missing file, unless `create`.
        """
        address = read_address(url)
        if address.path is not None and create:
            _create_file(address, address.path)
        elif address.path is not None and not address.path.exists():
            create_first = command("study create", "FILE", options=address.options)
            raise StorageError(
                f"no database at {address.shown}; create a study first: {create_first}, or name the database "
                "that has it with --storage"
            )
        try:
            return cls(address, make_engine(address))
        except ArgumentError as error:  # several hosts, written in ways that do not fit one another
            raise StorageError(f"{address.shown}: {address.without_hidden(str(error))}; correct --storage") from None

    def read(self, action: Callable[[Connection], T], patience: Patience = NO_PATIENCE) -> T:
        return self._run(action, patience, reads=True)

    def write(self, action: Callable[[Connection], T], patience: Patience = NO_PATIENCE) -> T:
        return self._run(action, patience, reads=False)

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn what the driver says inside into a StorageError, of the passing sort into DatabaseAway."""
        try:
            yield
        except DBAPIError as error:
            if is_ours(error):
                raise
            fault = DatabaseAway if is_passing(error) else StorageError
            raise fault(f"{self.shown}: {self._without_hidden(message_of(error))}") from None

    def _run(self, action: Callable[[Connection], T], patience: Patience, *, reads: bool) -> T:
        def once() -> T:
            with self.engine.connect().execution_options(**{READS: reads}) as connection, connection.begin():
                return action(connection)

        with self.explaining():
            return patiently(once, patience)


def _create_file(address: Address, path: Path) -> None:
    """Make an empty database in WAL mode, which is a property of the file; nothing is done to one that has it."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            _switch_to_wal(connection)
    except sqlite3.Error as error:
        raise StorageError(f"cannot make a database at {address.shown}: {error}") from None


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # of several that switch an empty file at once all but one are told 'locked', without the busy timeout
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
