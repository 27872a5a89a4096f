"""What growlab says when something is wrong: what it is, what was got, what to do.

    GrowlabError              exit code 1: the world is not as it should be
    ├── UsageError            exit code 2: the user's words or the user's file are off
    │   ├── UnknownName         a format, an option, a metric, … that there is not
    │   │   └── NotRegistered     a kind, source or operator that neither growlab nor a given plugin registers
    │   ├── PluginError         a plugin that is missing, fails or registers nothing
    │   ├── LayoutError         a layout text, or an option that does not fit its width
    │   └── SpecError           a study file or a stored spec, with the path of the key
    ├── DataError             a corpus that is missing, empty, damaged or not the recorded one
    │   └── CannotEncode        a text for which a tokenizer has no ids
    ├── StorageError          the database
    │   ├── DatabaseAway        it does not answer now, and may later
    │   ├── SchemaError         its schema is missing, older or newer than this growlab
    │   ├── NotFound            no such study or trial
    │   └── LeaseLost           another worker owns the trial now; nothing more may be written
    ├── NotExportable         a layout that a form of export cannot hold
    ├── OtherCode             a checkpoint that was written by other code, such as a plugin before it was edited
    ├── CheckpointError       a checkpoint or a model file is missing or damaged
    └── ArtifactsError        this worker does not see, or may not write, the folder of artifacts

Slips of our own are asserts and tracebacks, never a GrowlabError.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from growlab.escapes import quoted, readable

_LONGEST_TYPO = 100  # characters; nothing is like a longer name, and looking would take long


class GrowlabError(Exception):
    """An error for people: printed as one line, without a traceback. Fit for a terminal, whatever it repeats."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(readable(message))


class UsageError(GrowlabError):
    exit_code = 2


class UnknownName(UsageError):
    """A name that is not known. `what` is the sort of thing, as in "unknown block kind 'atention'; known: attn, …"."""

    hint = ""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(
            f"unknown {what} {quoted(name)}; known: {', '.join(known)}.{did_you_mean(name, known)}{self.hint}"
        )


class NotRegistered(UnknownName):
    """A name that a plugin may have added elsewhere: says how to give it here too."""

    hint = " Or give the file that registers it: --plugin FILE"


class PluginError(UsageError):
    pass


class LayoutError(UsageError):
    pass


class SpecError(UsageError):
    pass


class DataError(GrowlabError):
    pass


class CannotEncode(DataError):
    pass


class StorageError(GrowlabError):
    pass


class DatabaseAway(StorageError):
    pass


class SchemaError(StorageError):
    pass


class NotFound(StorageError):
    pass


class LeaseLost(StorageError):
    pass


class CheckpointError(GrowlabError):
    pass


class NotExportable(GrowlabError):
    pass


class OtherCode(GrowlabError):
    pass


class ArtifactsError(GrowlabError):
    pass


def require(condition: bool, key: str, expected: str, got: object, error: type[UsageError] = UsageError) -> None:
    """Raise `error`, which says what was expected of a key and what it got, unless the condition holds."""
    if not condition:
        raise error(f"{key} must be {expected}, got {got}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A tail for a message: ' Did you mean 'attn'?' or nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6) if len(name) <= _LONGEST_TYPO else []
    return f" Did you mean {quoted(close[0])}?" if close else ""
