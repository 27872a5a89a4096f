"""The leaderboard while a study runs: the best trials so far, and those that are being trained."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from growlab import amounts
from growlab.records import TrialState, n_ended
from growlab.report.columns import LeaderboardRow, columns_for_terminals
from growlab.report.leaderboard import leaderboard
from growlab.report.pace import Pace
from growlab.report.table import best_style
from growlab.report.terminal import as_it_is
from growlab.report.terminal_table import TableColumn, table_of
from growlab.storage import TrialRow

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = ("trial", "layout", "depth", "params", "val_loss")  # with the state they fit 80 columns


def live_table(
    study_name: str,
    trials: Sequence[TrialRow],
    counts: Mapping[TrialState, int],
    n_trials: int,
    *,
    pace: Pace | None = None,
    sort_by: str = "val_loss",
    n_best: int = 10,
) -> "Table":
    """A table to be redrawn in place, so never long: `n_best` that completed or wait at a rung, and all that run."""
    rows = leaderboard(trials, sort_by)
    ranked = [row for row in rows if row.state in (TrialState.COMPLETED, TrialState.PAUSED)]
    running = [row for row in rows if row.state is TrialState.RUNNING]
    columns = [column for column in columns_for_terminals(rows) if column.header in _SHOWN]
    table = table_of([*ranked[:n_best], *running], [*columns, _state_column(trials)], style_of=best_style)
    table.title = as_it_is(f"{study_name}: {progress_in_words(counts, n_trials, pace)}")
    table.title_justify = "left"
    if more := ranked[n_best:]:
        n_completed = sum(row.state is TrialState.COMPLETED for row in more)
        numbers = {"completed": n_completed, "paused": len(more) - n_completed}
        table.caption = "and " + ", ".join(f"{n} more {state}" for state, n in numbers.items() if n)
        table.caption_justify = "left"
    return table


def progress_in_words(counts: Mapping[TrialState, int], n_trials: int, pace: Pace | None = None) -> str:
    """A line such as '4 of 10 trials done (1 diverged), 2 running, 4 waiting · 31 trials/hour, about 11 min 37 s left'.

    Waiting are also those that are not proposed yet. What is left of the time is known once a trial has ended, unless
    some are paused, as nobody knows how many of these go on.
    """
    ended, running, paused = n_ended(counts), counts.get(TrialState.RUNNING, 0), counts.get(TrialState.PAUSED, 0)
    fallen = [
        f"{n} {state}" for state, n in counts.items() if n and state.is_final and state is not TrialState.COMPLETED
    ]
    done = f"{ended} of {n_trials} trials done" + (f" ({', '.join(fallen)})" if fallen else "")
    waiting = max(0, n_trials - ended - running - paused)
    stands = f"{done}, {running} running, {waiting} waiting" + (f", {paused} paused" if paused else "")
    if not pace:
        return stands
    left = 0 if paused else max(0, n_trials - ended) / pace.trials_per_hour * 3600
    about = f", about {amounts.duration(left)} left" if left else ""
    return f"{stands} · {pace.in_words()}{about}"


def _state_column(trials: Sequence[TrialRow]) -> TableColumn[LeaderboardRow]:
    by_number = {trial.number: trial for trial in trials}

    def cell(row: LeaderboardRow) -> str:
        return state_text(by_number[row.trial])

    return TableColumn("state", cell, "left")


def state_text(trial: TrialRow) -> str:
    """The state, 'completed', 'paused at rung 1' or 'running, step 1200'; 'running, not heard' where the lease of its
    worker ran out.
    """
    if trial.state is TrialState.PAUSED:
        return f"paused at rung {trial.may_pass + 1}"
    if trial.state is not TrialState.RUNNING:
        return f"{trial.state}, told" if trial.was_told else str(trial.state)
    if trial.lease_left_s is not None and trial.lease_left_s < 0:
        return "running, not heard"
    return "running" if trial.newest_step is None else f"running, step {trial.newest_step}"
