"""Which of a worker's processes and threads hears what asks it to stop."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import Self

from growlab.resources import STOPPING


def ignore_stopping() -> None:
    """Ignore, as a child, what asks to stop: Ctrl-C reaches the whole group; its parent decides."""
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)


def leave_signals_to_others() -> None:
    """Block, in a thread beside the main one, what asks to stop; the main one then hears it at once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold what asks us to stop until the end, and for ever in processes that are started meanwhile.

    Held, not ignored: an ignored one that comes right now would be lost. multiprocessing's resource tracker must have
    started before: it lets some of them through when it does, and dies of the others unless it never hears them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        _start_tracker()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start what removes a trainer's leavings, as that ends without teardown: no word of it to a user."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


class stop_on_signals:  # noqa: N801  (reads as a statement)
    """Ask to stop within, at a first Ctrl-C and at the others any time; a second Ctrl-C interrupts.

    One that is ignored stays so: under nohup a terminal that closes stops nothing. In other threads: no effect.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._before: dict[signal.Signals, object] = {}
        self._presses = 0
        self._has_interrupted = self._must_not_interrupt = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heard = [signum for signum in STOPPING if signal.getsignal(signum) is not signal.SIG_IGN]
            self._before = {signum: signal.signal(signum, self._handle) for signum in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let Ctrl-C within ask to stop and no more, however often it is pressed: a trial is being given back."""
        before, self._must_not_interrupt = self._must_not_interrupt, True
        try:
            yield
        finally:
            self._must_not_interrupt = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._ask()
        if number != signal.SIGINT:
            return
        self._presses += 1
        if self._presses > 1 and not self._must_not_interrupt and not self._has_interrupted:
            self._has_interrupted = True  # once: the next one would meet us on our way to give the trial back
            raise KeyboardInterrupt
