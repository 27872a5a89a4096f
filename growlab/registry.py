"""Named things that can be added from outside: block kinds, data sources, samplers, growth operators."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from growlab.errors import NotRegistered

T = TypeVar("T")


class NameTaken(ValueError):
    """A slip: two things have one name."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{what} {name!r} is registered twice")
        self.what, self.name = what, name


class Registry(Mapping[str, T]):
    """A mapping whose missing keys are a clear error. `what` names the sort of thing in it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate a thing: add it under this name. Raises NameTaken."""

        def add(entry: T) -> T:
            self.add(name, entry)
            return entry

        return add

    def add(self, name: str, entry: T) -> None:
        if name in self._entries:
            raise NameTaken(self.what, name)
        self._entries[name] = entry

    def reset(self, entries: Mapping[str, T]) -> None:
        """Hold these entries and no others: those of `dict(registry)` at an earlier time."""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise NotRegistered(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
