"""What asks a worker to stop, and which of its processes hears it."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a scheduler, a terminal that was closed


def ignore_stopping() -> None:
    """For a child: Ctrl-C reaches the whole group; its parent decides."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """What asks us to stop waits for us until the end, and for ever in processes that are started meanwhile.

    Held, not ignored: an ignored one that comes right now would be lost. multiprocessing's resource tracker
    lets signals through when it starts, so it must have started before.
    """
    _start_tracker()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """It removes what a trainer leaves, which ends without teardown: no word of that to a user."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


class stop_on_signals:  # noqa: N801  (reads as a statement)
    """Within: a first Ctrl-C, and the others at any time, ask to stop; a second Ctrl-C interrupts.

    One that is ignored stays so: under nohup a terminal that closes stops nothing. In other threads: no effect.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            heard = [each for each in STOPPING if signal.getsignal(each) is not signal.SIG_IGN]
            self._before = {each: signal.signal(each, self._handle) for each in heard}

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._ask()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
