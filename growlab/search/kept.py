"""What a search keeps between decisions to make the next one sooner, never to make another one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from growlab.records import PastTrial

T = TypeVar("T")


class Kept(Generic[T]):
    """The last few of something, each by a text that says all it was made of."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[str, T] = {}  # the one asked for last stands last

    def get(self, key: str, make: Callable[[], T]) -> T:
        """What is kept under the key, else what is made now."""
        found = self._found.pop(key) if key in self._found else make()
        self._found[key] = found
        if len(self._found) > self._most:
            del self._found[next(iter(self._found))]
        return found

    def clear(self) -> None:
        self._found.clear()


class KeptByTrial(Generic[T]):
    """What was made of each trial, by its number, for as long as the trial stays what it is.

    Of thousands of trials all are asked about at each decision, and hardly any has changed.
    """

    def __init__(self, make: Callable[[PastTrial], T]) -> None:
        self._make = make
        self._found: dict[int, tuple[PastTrial, T]] = {}

    def __call__(self, trial: PastTrial) -> T:
        found = self._found.get(trial.number)
        if found is None or not (found[0] is trial or found[0] == trial):  # to compare takes longer than all the rest
            found = self._found[trial.number] = trial, self._make(trial)
        return found[1]
