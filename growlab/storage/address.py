"""Where a database is: a URL that is understood, and a form of it that may be shown to anybody."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from growlab.errors import StorageError
from growlab.home import from_home
from growlab.suggest import STORAGE_DEFAULT

_EXAMPLES = "sqlite:///growlab.db or postgresql://user@host/growlab"
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, kw_only=True)
class Address:
    """`url` is for SQLAlchemy and holds the password; `shown` and `label` are for people and do not."""

    url: URL
    shown: str
    label: str  # the file of SQLite as it was written, the shown URL of a server
    path: Path | None  # SQLite's file
    holds_password: bool

    @property
    def options(self) -> list[str]:
        """Words that name it to another command; none where that would find it by itself.

        A password is three stars: what is pasted as it is must fail, not find another database.
        """
        known = os.environ.get("GROWLAB_STORAGE", STORAGE_DEFAULT)
        try:
            is_known = read_address(known).url == self.url
        except StorageError:
            is_known = False
        return [] if is_known else ["--storage", self.shown]


def read_address(text: str) -> Address:
    """Understand a storage URL. Raises StorageError, which never repeats what may be a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a password with ':' or '@' taken for a port, and in its message
        shown = "one that may hold a password" if "@" in text else repr(text)
        raise StorageError(f"the storage must be a URL such as {_EXAMPLES}, got {shown}") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(url)
    if url.drivername in _POSTGRES:
        return _postgresql(url)
    raise StorageError(f"no storage on {url.drivername!r}; known: {_EXAMPLES}")


def _sqlite(url: URL) -> Address:
    if url.host:
        raise StorageError(f"sqlite://{url.host} names no file; write three slashes: sqlite:///{url.host}")
    if not url.database or url.database == ":memory:":
        raise StorageError("a database in memory cannot be shared by a worker's processes; name a file: sqlite:///FILE")
    if url.query:
        raise StorageError(f"sqlite:///{url.database} takes no options, got {', '.join(url.query)}")
    path = from_home(url.database).absolute()
    # rw and not rwc: opening never makes a file, so a mistyped name cannot leave an empty database behind
    opened = URL.create("sqlite", database=f"file:{quote(os.fsencode(path))}", query={"mode": "rw", "uri": "true"})
    return Address(url=opened, shown=f"sqlite:///{url.database}", label=url.database, path=path, holds_password=False)


def _postgresql(url: URL) -> Address:
    if "@" in (url.host or "") or "@" in (url.database or ""):
        raise StorageError(
            "the storage URL has more than one '@'; write the '@' of a password as %40, "
            "or leave the password out and name a file with PGPASSFILE"
        )
    # a bare postgresql:// would mean psycopg2 to SQLAlchemy 2.0
    url = url.set(drivername="postgresql+psycopg")
    shown = url.set(
        drivername="postgresql",
        query={key: "***" if "password" in key else value for key, value in url.query.items()},
    ).render_as_string(hide_password=True)
    holds_password = url.password is not None or any("password" in key for key in url.query)
    return Address(url=url, shown=shown, label=shown, path=None, holds_password=holds_password)
