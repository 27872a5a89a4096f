"""How a study stands that no worker of ours works on any more: its winner or why there is none, and what to do next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from growlab.errors import GrowlabError
from growlab.escapes import first_line
from growlab.preparation.command_lines import place_options, plugin_options, speaking_command
from growlab.preparation.fronts import Front, recorded_front
from growlab.preparation.remaining import n_unfinished
from growlab.report.columns import LeaderboardRow
from growlab.report.leaderboard import read_leaderboard
from growlab.report.title import read_over, read_title
from growlab.storage import Store, StudyRow, TrialRow
from growlab.suggest import command

_MOST_REASONS = 3

_TRY = {  # by the state that most trials ended in
    "diverged": "try a lower train.lr, a longer train.warmup_fraction or a smaller train.grad_clip",
    "leak": "a block lets tokens see what they should predict; mend it before you believe a loss",
    "stopped": "the rules of section `stop` let none come to its end: let them begin later, or leave them out",
    "failed": "the page of one says more",
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The standing of a study when workers have left."""

    study: str
    title: str  # of its leaderboard
    rows: Sequence[LeaderboardRow]  # the best first
    lines: Sequence[str]  # for a person: the winner or why there is none, and what to do next
    n_unfinished: int  # trials that it wants and that have not ended
    again: str  # the command that goes on with it; '' where nothing was left to do

    def require_finished(self) -> None:
        """Raise GrowlabError, which says how to go on, for a study that is not finished."""
        if self.n_unfinished > 0:
            raise GrowlabError(f"{self.n_unfinished} trial(s) are not finished; go on with: {self.again}")


def read_standing(
    store: Store,
    row: StudyRow,
    *,
    storage: str,
    artifacts: Path | None = None,
    plugins: Sequence[Path] = (),
    again: str = "",
) -> Standing:
    """Read how a study stands; the places are those of commands that it suggests."""
    trials = store.trials(row.id)
    front = recorded_front(store, row)
    rows = read_leaderboard(store, row.id, row.study.objective.metric, front)
    return Standing(
        study=row.study.name,
        title=read_title(store, row),
        rows=rows,
        lines=[
            *over_in_words(store, row),
            *outcome(row, trials, rows, front, storage=storage, artifacts=artifacts, plugins=plugins),
        ],
        n_unfinished=n_unfinished(store, row),
        again=again,
    )


def over_in_words(store: Store, row: StudyRow) -> list[str]:
    """A line that says which limit ended a study, and how it goes on; none where it has all its trials."""
    if not (over := read_over(store, row)):
        return []
    key = over.partition(" ")[0]
    more = command("study set", row.study.name, f"{key}=…", options=store.options)
    return [f"the study is over: {over}; what is queued stays so. To go on: {more}"]


def outcome(
    row: StudyRow,
    trials: Sequence[TrialRow],
    ranked: Sequence[LeaderboardRow],
    front: Front | None = None,
    *,
    storage: str,
    artifacts: Path | None,
    plugins: Sequence[Path],
) -> list[str]:
    """Lines for a person, one or a few; `ranked` is the leaderboard of the study's `trials`, `front` who is on it."""
    winner = next((candidate for candidate in ranked if candidate.rank == 1), None)
    if winner is None and front and front.infeasible:
        return front.lines
    if winner is None:
        return [_why_none(trials, command("report", row.study.name, options=place_options(storage)))]
    metric = row.study.objective.metric
    return [
        f"best: trial {winner.trial}, {metric} {getattr(winner, metric):.4f}: {winner.layout}",
        *(front.lines if front else ()),
        "next:",
        *(f"  {line}" for line in _next_commands(row, storage, artifacts, plugins)),
    ]


def _next_commands(row: StudyRow, storage: str, artifacts: Path | None, plugins: Sequence[Path]) -> list[str]:
    """Commands that show the table, export the winner and let it speak."""
    name, folder = row.study.name, _free_folder(f"{row.study.name}-best")
    return [
        command("report", name, options=place_options(storage)),
        command("export", name, options=["-o", folder, *place_options(storage, artifacts=artifacts)]),
        *_of_a_front(row, storage, artifacts),
        command(speaking_command(row.study), folder, options=plugin_options(plugins)),
    ]


def _of_a_front(row: StudyRow, storage: str, artifacts: Path | None) -> list[str]:
    """The command that exports the front of a study with several objectives."""
    if len(row.study.objectives) == 1:
        return []
    name, folder = row.study.name, _free_folder(f"{row.study.name}-front")
    return [command("export", name, options=["--pareto", folder, *place_options(storage, artifacts=artifacts)])]


def _free_folder(name: str) -> str:
    """The folder `name`, or name-2, name-3, … where that is taken: an export never writes over anything."""
    return next(free for at in count(1) if not Path(free := name if at == 1 else f"{name}-{at}").exists())


def _why_none(trials: Sequence[TrialRow], report: str) -> str:
    """Why no trial completed, the commonest reasons first, and what to try."""
    ended = [trial for trial in trials if trial.state.is_final]
    if not ended:
        return "no trial has ended yet"
    reasons = Counter((str(trial.state), first_line(trial.error)) for trial in ended)
    lines = [f"no trial completed: all {len(ended)} that ended are without a result"]
    for (state, error), n in reasons.most_common(_MOST_REASONS):
        lines.append(f"  {n} {state}" + (f": {error}" if error else ""))
    if len(reasons) > _MOST_REASONS:
        lines.append(f"  and {len(reasons) - _MOST_REASONS} other reasons")
    most = Counter(str(trial.state) for trial in ended).most_common(1)[0][0]
    lines.append(f"{_TRY[most]}; see one whole: {report} --trial {ended[0].number}")
    return "\n".join(lines)
