"""Workers from their start until all have left, with somebody who follows what they do."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from growlab.fleet.local import LocalFleet
from growlab.preparation.telling import Tell
from growlab.resources import STOPPING
from growlab.running.crew import Crew, launched, require_success
from growlab.running.following import ended_trials, follow
from growlab.storage import Store, StudyRow

Watch = Callable[[Store, StudyRow, LocalFleet], None]  # returns when all workers have left


@dataclass(frozen=True, kw_only=True)
class Follower:
    """A follower of workers, from their start until all have left."""

    tell: Tell
    watch: Watch | None = None  # shows what they do; without it a line is told for each trial that ends
    heeds_signals: bool = False  # what asks this process to stop interrupts it, as Ctrl-C does


def work(store: Store, row: StudyRow, crew: Crew, *, again: str, follower: Follower) -> None:
    """Start the workers and follow what they do until all have left.

    `again` says how to go on after a stop. Raises GrowlabError when all of them failed, and KeyboardInterrupt when it
    was asked to stop and they have saved their trials.
    """
    tell = follower.tell
    if follower.heeds_signals:
        interrupt_on_stop()
    ended_before = ended_trials(store, row)
    with launched(store, row, crew) as fleet:
        tell(f"{crew} on study {row.study.name!r}; Ctrl-C stops them and keeps everything; logs in {crew.logs(row)}")
        try:
            if follower.watch:
                follower.watch(store, row, fleet)
            else:
                follow(store, row, fleet, ended_before, tell)
        except KeyboardInterrupt:
            tell("stopping: each worker saves its trial …")
            fleet.stop()
            tell(f"stopped; go on with: {again}")
            raise
    require_success(fleet, tell)


def interrupt_on_stop() -> None:
    """Make a KeyboardInterrupt, as Ctrl-C is, of docker stop, systemd, Slurm and a terminal that was closed."""
    for stopping in set(STOPPING) - {signal.SIGINT}:
        if signal.getsignal(stopping) is not signal.SIG_IGN:  # nohup
            signal.signal(stopping, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
