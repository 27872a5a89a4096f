"""What commands that start workers show: the leaderboard while these work, and the last screen. On stderr."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.commands.options import say
from growlab.resources import STOPPING

if TYPE_CHECKING:
    from growlab.fleet.local import LocalFleet
    from growlab.running.crew import Crew
    from growlab.storage import Store, StudyRow

_MOST_ROWS = 20  # of a terminal; the report has all


def work(store: "Store", row: "StudyRow", crew: "Crew", *, again: str) -> None:
    """Start the workers and show what they do until all have left.

    `again` is the command line that goes on after a stop. Raises GrowlabError when all of them failed, and
    KeyboardInterrupt when it was asked to stop and they have saved their trials.
    """
    from growlab.running.crew import launched, require_success
    from growlab.running.following import ended_trials, follow

    interrupt_on_stop()
    ended_before = ended_trials(store, row)
    with launched(store, row, crew) as fleet:
        say(f"{crew} on study {row.study.name!r}; Ctrl-C stops them and keeps everything; logs in {crew.logs(row)}")
        try:
            if sys.stderr.isatty():
                _redraw_leaderboard(store, row, fleet)
            else:
                follow(store, row, fleet, ended_before, say)
        except KeyboardInterrupt:
            say("stopping: each worker saves its trial …")
            fleet.stop()
            say(f"stopped; go on with: {again}")
            raise
    require_success(fleet, say)


def show_end(
    store: "Store", row: "StudyRow", *, storage: str, artifacts: Path | None = None, plugins: Sequence[Path] = ()
) -> None:
    """Say how a study stands that no worker of ours works on any more. A pipe gets the lines alone."""
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.table import print_table
    from growlab.report.title import read_title
    from growlab.running.outcome import outcome

    trials = store.trials(row.id)
    rows = read_leaderboard(store, row.id, row.study.objective.metric)
    if sys.stderr.isatty():
        print_table(rows[:_MOST_ROWS], sys.stderr, read_title(store, row))
        if len(rows) > _MOST_ROWS:
            say(f"and {len(rows) - _MOST_ROWS} more")
    for line in outcome(row, trials, rows, storage=storage, artifacts=artifacts, plugins=plugins):
        say(line)


def interrupt_on_stop() -> None:
    """Make a KeyboardInterrupt, as Ctrl-C is, of docker stop, systemd, Slurm and a terminal that was closed."""
    for stopping in set(STOPPING) - {signal.SIGINT}:
        if signal.getsignal(stopping) is not signal.SIG_IGN:  # nohup
            signal.signal(stopping, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _redraw_leaderboard(store: "Store", row: "StudyRow", fleet: "LocalFleet") -> None:
    """Show the best trials and the running ones on a terminal, until all workers have left."""
    from rich.console import Console
    from rich.live import Live

    from growlab.report.live import live_table
    from growlab.report.pace import read_pace

    with Live(console=Console(stderr=True), refresh_per_second=2, transient=True) as live:
        while fleet.running():
            trials, counts, objective = store.trials(row.id), store.counts(row.id), row.study.objective.metric
            pace, n_trials = read_pace(store, row.id, counts), store.n_trials(row.id)
            live.update(live_table(row.study.name, trials, counts, n_trials, pace=pace, sort_by=objective))
            time.sleep(1)
