"""The winners of a search on fresh seeds: the ranking by mean, and beside it what the search had claimed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import nan
from statistics import fmean
from typing import TextIO

from growlab import amounts
from growlab.defaults import USUAL_MARGIN
from growlab.preparation.confirming import confirmed_number, ranked_winners
from growlab.records import TrialState
from growlab.report.formats import write_rows
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, fitting, print_left_out, table_of
from growlab.statistics.confirm import Confirmed, confirm
from growlab.statistics.verdict import Rule
from growlab.storage import Store, StudyRow


@dataclass(frozen=True, kw_only=True)
class ConfirmedRow:
    """A winner, best fresh mean first; a trial that was lost on a seed stands below all that were not."""

    rank: int
    trial: int  # its number in the search
    layout: str
    mean: float  # of the objective, over fresh seeds
    low: float | None  # Student's 95 % interval of it; one seed has none
    high: float | None
    n: int  # fresh seeds with a result
    n_lost: int  # without one: it diverged there, or failed
    claimed: float  # what the search saw
    claimed_rank: int
    curse: float  # mean - claimed: by how much the search had flattered it
    text: str


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    study: str
    confirming: str  # the study that holds the trials on fresh seeds
    objective: str
    rows: tuple[ConfirmedRow, ...]
    without: tuple[int, ...]  # winners without any result on a fresh seed, by their number in the search

    @property
    def lines(self) -> list[str]:
        """What a person should know of it: the best and what was claimed of it, and the winner's curse in words."""
        return list(_lines(self))


def read_confirmation(store: Store, searched: StudyRow, confirming: StudyRow) -> Confirmation:
    """Rank the winners of a search by what is finished of the study that confirms them."""
    objective = searched.study.objective.metric
    fresh: dict[int, dict[int, float]] = {}
    for trial in store.trials(confirming.id):
        number = confirmed_number(store, trial)
        assert number is not None, f"trial {trial.number} of {confirming.study.name} confirms none"
        losses = fresh.setdefault(number, {})
        if trial.state.is_final:
            value = getattr(trial, objective) if trial.state is TrialState.COMPLETED else None
            losses[trial.spec_mapping["seed"]] = nan if value is None else value
    winners = {winner.number: winner for winner in ranked_winners(store, searched)}
    found = confirm(
        {str(number): winners[number].claimed for number in fresh},
        {str(number): losses for number, losses in fresh.items()},
        searched=[trial.spec_mapping["seed"] for trial in store.trials(searched.id)],
        rule=Rule(margin=USUAL_MARGIN),
    )
    ranked = [_row(confirmed, winners[int(confirmed.name)].trial.layout) for confirmed in found]
    return Confirmation(
        study=searched.study.name,
        confirming=confirming.study.name,
        objective=objective,
        rows=tuple(ranked),
        without=tuple(sorted(fresh.keys() - {row.trial for row in ranked})),
    )


def _row(confirmed: Confirmed, layout: str) -> ConfirmedRow:
    return ConfirmedRow(
        rank=confirmed.rank,
        trial=int(confirmed.name),
        layout=layout,
        mean=confirmed.fresh.mean,
        low=confirmed.fresh.low,
        high=confirmed.fresh.high,
        n=confirmed.fresh.n,
        n_lost=len(confirmed.lost),
        claimed=confirmed.claimed,
        claimed_rank=confirmed.claimed_rank,
        curse=confirmed.curse,
        text=confirmed.text,
    )


def _lines(confirmation: Confirmation) -> Iterator[str]:
    if rows := confirmation.rows:
        best = rows[0]
        yield f"best by {confirmation.objective}: trial {best.trial} of {confirmation.study}: {best.text}"
        yield _curse(rows)
    for row in confirmation.rows:
        if row.n_lost:
            yield f"trial {row.trial} ended without a result on {row.n_lost} of {row.n + row.n_lost} fresh seeds"
    if confirmation.without:
        yield f"without a result on any fresh seed: trial {', '.join(map(str, confirmation.without))}"


def _curse(rows: Sequence[ConfirmedRow]) -> str:
    """The winner's curse: who was chosen for a number was lucky with it."""
    curse, of = fmean(row.curse for row in rows), f"{len(rows)} trial(s) that it chose"
    if curse <= 0:
        return f"no winner's curse is seen: fresh seeds say {-curse:.4f} less than the search, over the {of}"
    first = next((row for row in rows if row.claimed_rank == 1), None)
    moved = f"; its first, trial {first.trial}, is number {first.rank} now" if first and first.rank > 1 else ""
    return f"the winner's curse: the search had flattered the {of} by {curse:.4f} on average{moved}"


# ---- for a person and for a program ------------------------------------------------------------------------------

_COLUMNS: Sequence[TableColumn[ConfirmedRow]] = (
    TableColumn("rank", lambda row: str(row.rank)),
    TableColumn("trial", lambda row: str(row.trial)),
    TableColumn("layout", lambda row: row.layout, "left", folds=True),
    TableColumn("fresh seeds", lambda row: f"{row.n}" if not row.n_lost else f"{row.n} of {row.n + row.n_lost}"),
    TableColumn("mean", lambda row: amounts.loss(row.mean) + _half_width(row)),
    TableColumn("claimed", lambda row: amounts.loss(row.claimed)),
    TableColumn("claimed rank", lambda row: str(row.claimed_rank)),
    TableColumn("curse", lambda row: f"{row.curse:+.4f}"),
)
_DISPENSABLE = ("curse", "claimed rank", "fresh seeds")  # on a narrow terminal, the first first


def _half_width(row: ConfirmedRow) -> str:
    return "" if row.low is None or row.high is None else f" ± {(row.high - row.low) / 2:.4f}"


def render_confirmation(confirmation: Confirmation, format: str, stream: TextIO) -> None:
    """Write the ranking to `stream`, as `formats.render` writes a leaderboard. Raises UnknownName."""
    if format != "table":
        write_rows(confirmation.rows, [field.name for field in fields(ConfirmedRow)], format, stream)
        return
    console = console_for(stream)
    title = f"{confirmation.study}: its best again, by mean {confirmation.objective} on fresh seeds, lower is better"
    console.print(as_it_is(title, "bold"))
    if not confirmation.rows:
        console.print("no results yet")
        return
    table, left_out = fitting(
        lambda hidden: table_of(confirmation.rows, [column for column in _COLUMNS if column.header not in hidden]),
        _DISPENSABLE,
        console,
    )
    console.print(Trimmed(table))
    print_left_out(left_out, console, "--json")
