"""Where a database is: a URL that is understood, and a form of it that may be shown to anybody.

A URL that is not understood is never repeated: nobody knows where in it a password stands. Of one that is, each part
is shown only where it is spelt as such a part is; whatever else it says is shown as ***.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from growlab.defaults import STORAGE_DEFAULT
from growlab.errors import StorageError
from growlab.escapes import has_controls
from growlab.home import from_home
from growlab.storage.libpq import HIDDEN, require_options, shown_option

_EXAMPLES = "sqlite:///growlab.db or postgresql://user@host/growlab"
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes of a file's name that are no letter, as Python keeps them
_OTHERS = ("cockroachdb", "duckdb", "mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite")

_FILE_NAME = re.compile(r"[\w./~ -]+\.(db|sqlite|sqlite3)")
_SERVER_IN_PATH = re.compile(r"://|:[^/]*@|passw\w*\s*=", re.IGNORECASE)  # a server's URL behind sqlite:///
_USER = re.compile(r"[\w.+-]+")
_HOST = re.compile(r"[\w.-]+|[\da-fA-F.]*:[\da-fA-F:.]*(%\w+)?")  # a name, IPv4 or IPv6
_NAME = re.compile(r"[\w.-]+")
_PORT_MOST = 65535
_PASSWORD_PLACE = "a password stands between ':' and '@'"


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a database.

    Its `url` is for SQLAlchemy and holds the password; `shown` and `label` are for people and do not.
    """

    url: URL
    shown: str
    label: str  # the file of SQLite as it was written, the shown URL of a server
    path: Path | None  # SQLite's file
    hidden: tuple[str, ...] = ()  # what is in the URL and not in `shown`

    def without_hidden(self, message: str) -> str:
        """Clean a driver's message of what is hidden: libpq repeats an option that it does not understand."""
        pieces = {piece for text in self.hidden for piece in (text, *re.split(r"[\s=,;:/?#@'\"]+", text)) if piece}
        for piece in sorted(pieces, key=len, reverse=True):
            whole = len(piece) < 4  # of a short one no part of another word
            message = re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)" if whole else re.escape(piece), HIDDEN, message)
        return message

    @property
    def options(self) -> list[str]:
        """Options that name the database to another command; none where that would find it by itself.

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
        got = f", got {text!r}" if _FILE_NAME.fullmatch(text) else "; it is not shown, as it may hold a password"
        raise StorageError(f"the storage must be a URL such as {_EXAMPLES}{got}") from None
    is_file = url.drivername in ("sqlite", "sqlite+pysqlite")
    if has_controls(_NOT_UTF8.sub("", text) if is_file else text) or "%00" in text:
        raise StorageError("the storage URL has control characters, or is not UTF-8; write it again")
    if is_file:
        return _sqlite(url)
    if url.drivername in _POSTGRES:
        if text.count("@") > 1:
            raise _two_ats()
        return _postgresql(url)
    server = url.drivername.partition("+")[0]
    named = repr(server) if server in _OTHERS else "a server of this kind"
    driver = " with this driver" if server in _POSTGRES else ""
    raise StorageError(f"no storage on {named}{driver}; known: {_EXAMPLES}")


def _sqlite(url: URL) -> Address:
    if url.host and _FILE_NAME.fullmatch(url.host):
        raise StorageError(f"sqlite://{url.host} names no file; write three slashes: sqlite:///{url.host}")
    if url.host or url.username or url.password or _SERVER_IN_PATH.search(url.database or ""):
        raise StorageError(f"a storage of SQLite has no user, password or host, only a file; known: {_EXAMPLES}")
    if not url.database or url.database == ":memory:":
        raise StorageError("a database in memory cannot be shared by a worker's processes; name a file: sqlite:///FILE")
    if url.query:
        known = ", ".join(key for key in url.query if key in ("cache", "immutable", "mode", "timeout", "uri"))
        raise StorageError(f"sqlite:///{url.database} takes no options{known and ', got '}{known}")
    path = from_home(url.database).absolute()
    # rw and not rwc: opening never makes a file, so a mistyped name cannot leave an empty database behind
    opened = URL.create("sqlite", database=f"file:{quote(os.fsencode(path))}", query={"mode": "rw", "uri": "true"})
    return Address(url=opened, shown=f"sqlite:///{url.database}", label=url.database, path=path)


def _postgresql(url: URL) -> Address:
    if "@" in (url.host or "") or "@" in (url.database or ""):
        raise _two_ats()
    if url.host and not _HOST.fullmatch(url.host):
        raise StorageError(
            f"the storage URL's host has characters that no host has; {_PASSWORD_PLACE}, "
            "the folder of a socket is an option: ?host=/FOLDER"
        )
    if url.port is not None and not 0 < url.port <= _PORT_MOST:
        raise StorageError(f"the storage URL's port must be from 1 to {_PORT_MOST}; {_PASSWORD_PLACE}")
    query = {key: [value] if isinstance(value, str) else list(value) for key, value in url.query.items()}
    require_options(query)
    # a bare postgresql:// would mean psycopg2 to SQLAlchemy 2.0
    url = url.set(drivername="postgresql+psycopg")
    shown = url.set(
        drivername="postgresql",
        username=_shown(url.username, _USER),
        database=_shown(url.database, _NAME),
        query={key: [shown_option(key, value) for value in values] for key, values in query.items()},
    ).render_as_string(hide_password=True)
    shown = shown.replace(quote(HIDDEN, safe=""), HIDDEN)
    return Address(url=url, shown=shown, label=shown, path=None, hidden=tuple(_hidden(url, query)))


def _two_ats() -> StorageError:
    return StorageError(
        "the storage URL has more than one '@'; write the '@' of a password as %40, "
        "or leave the password out and name a file with PGPASSFILE"
    )


def _hidden(url: URL, query: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The parts of a URL that `shown` leaves out, as they are and as the URL spells them."""
    parts = [(url.username, _shown(url.username, _USER)), (url.database, _shown(url.database, _NAME))]
    parts += [(value, shown_option(key, value)) for key, values in query.items() for value in values]
    parts.append((None if url.password is None else str(url.password), HIDDEN))
    for part, shown in parts:
        if part is not None and shown != part:
            yield from dict.fromkeys((part, quote(part, safe="")))


def _shown(part: str | None, spelt: re.Pattern[str]) -> str | None:
    return part if not part or spelt.fullmatch(part) else HIDDEN
