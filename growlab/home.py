"""The user's home folder, and paths that are written from it."""

from pathlib import Path

from growlab.errors import UsageError


def home(remedy: str) -> Path:
    """The user's home folder.

    Raises UsageError with `remedy` where there is none, as for a user id that a container does not know.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError(f"no home folder; {remedy} (HOME is not set, and this user is unknown here)") from None


def from_home(path: Path | str) -> Path:
    """Expand `~` and `~/x` from the home folder; any other path is returned as it is. Raises UsageError."""
    first, _, rest = str(path).partition("/")
    return home(f"write {str(path)!r} without '~'") / rest.lstrip("/") if first == "~" else Path(path)
