"""What commands that start workers show: the leaderboard while these work, and the last screen. On stderr."""

import sys
import time
from typing import TYPE_CHECKING

from growlab.commands.options import say

if TYPE_CHECKING:
    from growlab.fleet.local import LocalFleet
    from growlab.running.outcome import Standing
    from growlab.running.work import Follower
    from growlab.storage import Store, StudyRow

_MOST_ROWS = 20  # of a terminal; the report has all


def follower() -> "Follower":
    """Follow workers as a command does: the leaderboard on a terminal, else lines, and signals as Ctrl-C."""
    from growlab.running.work import Follower

    return Follower(tell=say, watch=_redraw_leaderboard if sys.stderr.isatty() else None, heeds_signals=True)


def show_standing(standing: "Standing") -> None:
    """Say how a study stands that no worker of ours works on any more. A pipe gets the lines alone."""
    from growlab.report.table import print_table

    if sys.stderr.isatty():
        print_table(standing.rows[:_MOST_ROWS], sys.stderr, standing.title)
        if len(standing.rows) > _MOST_ROWS:
            say(f"and {len(standing.rows) - _MOST_ROWS} more")
    for line in standing.lines:
        say(line)


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
