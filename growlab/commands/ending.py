"""The last screen of a study: its table, its winner or why there is none, and what to do next. On stderr."""

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.commands.options import place, plugin_words, say
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow, TrialRow

_MOST_ROWS = 20  # of a terminal; the report has all
_MOST_REASONS = 3

_TRY = {  # by the state that most trials ended in
    "diverged": "try a lower train.lr, a longer train.warmup_fraction or a smaller train.grad_clip",
    "leak": "a block lets tokens see what they should predict; mend it before you believe a loss",
    "failed": "the page of one says more",
}


def show_end(
    store: "Store", row: "StudyRow", *, storage: str, artifacts: Path | None = None, plugins: Sequence[Path] = ()
) -> None:
    """Say how a study stands that no worker of ours works on any more. A pipe gets the lines alone."""
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.table import print_table
    from growlab.report.title import read_title

    trials = store.trials(row.id)
    rows = read_leaderboard(store, row.id, row.study.objective.metric)
    if sys.stderr.isatty():
        print_table(rows[:_MOST_ROWS], sys.stderr, read_title(store, row))
        if len(rows) > _MOST_ROWS:
            say(f"and {len(rows) - _MOST_ROWS} more")
    winner = next((each for each in rows if each.rank == 1), None)
    if winner is None:
        say(_why_none(trials, command("report", row.study.name, options=place(storage))))
        return
    metric = row.study.objective.metric
    say(f"best: trial {winner.trial}, {metric} {getattr(winner, metric):.4f}: {winner.layout}")
    say("next:")
    for line in next_commands(row, storage, artifacts, plugins):
        say(f"  {line}")


def next_commands(row: "StudyRow", storage: str, artifacts: Path | None, plugins: Sequence[Path]) -> list[str]:
    """Look at the table, export the winner, let it speak."""
    from growlab.commands.export import speaks

    name, folder = row.study.name, _free_folder(f"{row.study.name}-best")
    return [
        command("report", name, options=place(storage)),
        command("export", name, options=["-o", folder, *place(storage, artifacts=artifacts)]),
        command(speaks(row.study), folder, options=plugin_words(plugins)),
    ]


def _free_folder(name: str) -> str:
    """`name`, or name-2, name-3, … where that is taken: an export never writes over anything."""
    return next(each for at in count(1) if not Path(each := name if at == 1 else f"{name}-{at}").exists())


def _why_none(trials: "Sequence[TrialRow]", report: str) -> str:
    """Why no trial completed, the commonest reasons first, and what to try."""
    ended = [trial for trial in trials if trial.state.is_final]
    if not ended:
        return "no trial has ended yet"
    reasons = Counter((str(trial.state), trial.error.partition("\n")[0]) for trial in ended)
    lines = [f"no trial completed: all {len(ended)} that ended are without a result"]
    for (state, error), n in reasons.most_common(_MOST_REASONS):
        lines.append(f"  {n} {state}" + (f": {error}" if error else ""))
    if len(reasons) > _MOST_REASONS:
        lines.append(f"  and {len(reasons) - _MOST_REASONS} other reasons")
    most = Counter(str(trial.state) for trial in ended).most_common(1)[0][0]
    lines.append(f"{_TRY[most]}; see one whole: {report} --trial {ended[0].number}")
    return "\n".join(lines)
