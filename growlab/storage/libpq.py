"""The options of libpq, which a storage URL may hold behind its '?': their names, and which may be shown to anybody."""

import re
from collections.abc import Mapping, Sequence

from growlab.errors import StorageError

HIDDEN = "***"

# Options that are no secret, and how their values look; the value of any other is not shown.
_NUMBER, _PATH = re.compile(r"\d{1,9}(,\d{1,9})*"), re.compile(r"/[\w./ -]*")
_SHOWN = {
    "host": re.compile(r"/[\w./ -]*|[\w.,-]*(:\d{1,5})?"),
    **dict.fromkeys(("passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert"), _PATH),
    **dict.fromkeys(("connect_timeout", "keepalives", "keepalives_count", "keepalives_idle"), _NUMBER),
    **dict.fromkeys(("keepalives_interval", "port", "sslcompression", "sslsni", "tcp_user_timeout"), _NUMBER),
}
_CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_OTHER_OPTIONS = (
    *("application_name", "client_encoding", "dbname", "fallback_application_name", "gssdelegation", "gsslib"),
    *("hostaddr", "krbsrvname", "max_protocol_version", "min_protocol_version", "options", "password", "replication"),
    *("require_auth", "requirepeer", "service", "servicefile", "ssl_max_protocol_version", "ssl_min_protocol_version"),
    *("sslcertmode", "sslkeylogfile", "sslpassword", "user"),
)
_OPTIONS = sorted({*_SHOWN, *_CHOICES, *_OTHER_OPTIONS})


def require_options(query: Mapping[str, Sequence[str]]) -> None:
    """Refuse, with a StorageError that repeats nothing, names that libpq does not know and what is no host or port."""
    if unknown := [key for key in query if key not in _OPTIONS]:
        meant = [f"{key.lower()!r}" for key in unknown if key.lower() in _OPTIONS]
        advice = f"write {', '.join(meant)}" if meant else f"known: {', '.join(_OPTIONS)}"
        raise StorageError(f"the storage URL has an option that PostgreSQL does not know; {advice}")
    for port in query.get("port", ()):
        if not re.fullmatch(r"\d{0,5}(,\d{0,5})*", port):
            raise StorageError("the storage URL's option 'port' must be numbers with ',' between two")
    for host in query.get("host", ()):
        if not re.fullmatch(r"/.*|[\w.,-]*(:\d{0,5})?", host):
            raise StorageError("the storage URL's option 'host' must be names, or the folder of a socket")


def shown_option(key: str, value: str) -> str:
    """Show an option's value where it is harmless, else HIDDEN."""
    pattern = _SHOWN.get(key)
    harmless = value in _CHOICES.get(key, ()) or (pattern is not None and pattern.fullmatch(value))
    return value if harmless else HIDDEN
