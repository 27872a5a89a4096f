"""Time that does not pass by itself: a clock goes from one event to the next."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple


@dataclass
class Event:
    """Something that happens at its time, unless it is called off."""

    action: Callable[[], None]
    is_off: bool = False

    def call_off(self) -> None:
        self.is_off = True


class _Due(NamedTuple):
    at_s: float
    order: int  # of events at one time that which was planned first comes first
    event: Event


@dataclass
class Clock:
    """Virtual seconds since the beginning, and what is planned."""

    now_s: float = 0.0
    _planned: list[_Due] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def at(self, when_s: float, action: Callable[[], None]) -> Event:
        """Plan an action, not before now; at infinity it never happens."""
        assert when_s >= self.now_s, f"{when_s} is over, it is {self.now_s}"
        event = Event(action)
        heapq.heappush(self._planned, _Due(when_s, next(self._order), event))
        return event

    def after(self, seconds: float, action: Callable[[], None]) -> Event:
        return self.at(self.now_s + seconds, action)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Let everything happen that is planned, and what that plans, until it is over."""
        while not is_over():
            assert self._planned, "nothing is planned, and it is not over"
            due = heapq.heappop(self._planned)
            if not due.event.is_off:
                self.now_s = due.at_s
                due.event.action()
