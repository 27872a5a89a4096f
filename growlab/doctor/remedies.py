"""What to do when a database does not answer as it should."""

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growlab.storage.address import Address

_ANOTHER_FILE = "name another file with --storage sqlite:///FILE"
_IS_IT_THERE = "start the server, or correct host and port; see: pg_isready -h {host} -p {port}"

# Words of the drivers; the first that fit. Those of a server may be in its own language: then the last line is said.
_SQLITE = {
    "not a database": _ANOTHER_FILE,
    "malformed": "stop the workers and bring it back from its backup",
    "locked": "another process holds it for long: fuser {path}",
    "readonly": "chmod u+w {path}",
    "": _ANOTHER_FILE,
}
_POSTGRESQL = {
    "refused": _IS_IT_THERE,
    "resolve": _IS_IT_THERE,
    "timeout": _IS_IT_THERE,
    "role": "correct the user in --storage, or: createuser -h {host} -p {port} {user}",
    "does not exist": "correct the name in --storage, or: createdb -h {host} -p {port} {database}",
    "password": "correct user and password; PGPASSFILE names a file of passwords",
    "too many": "raise max_connections, or start fewer workers",
    "": "correct --storage, or ask whoever runs the server; its log says more",
}


def remedy(found: str, address: "Address") -> str:
    """Find the remedy for what a driver said, the password left out."""
    from sqlalchemy import make_url

    known = _SQLITE if address.path is not None else _POSTGRESQL
    advice = next(advice for sign, advice in known.items() if sign in found)
    url = make_url(address.shown)  # a user or a name that is hidden is not part of the advice
    return advice.format(
        path=shlex.quote(str(address.path)),
        host=url.host or "localhost",
        port=url.port or 5432,
        user=url.username,
        database=url.database,
    )
