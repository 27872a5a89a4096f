"""What a search keeps between decisions to make the next one sooner, never to make another one."""

from collections.abc import Callable
from typing import Generic, TypeVar

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
