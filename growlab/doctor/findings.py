"""What a check says."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from growlab.errors import GrowlabError

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    area: str
    name: str
    status: Status
    found: str
    advice: str = ""  # what to do about it, with the command


def guarded(area: str, name: str, check: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check. What it raises is its last one, so that the checks after it still run."""
    try:
        yield from check
    except GrowlabError as error:
        yield Finding(area, name, "broken", *found_and_advice(error))
    except Exception as error:
        found = f"could not be checked: {type(error).__name__}: {' '.join(str(error).split())}"
        advice = "reinstall what it names" if isinstance(error, ImportError) else "this should not happen: report it"
        yield Finding(area, name, "broken", found, advice)


def found_and_advice(error: GrowlabError) -> tuple[str, str]:
    """Split a message of growlab, which says what is wrong, and after a semicolon what to do."""
    found, _, advice = str(error).partition("; ")
    return found, advice
