"""What went wrong: trials that diverged or failed, by cause, and attempts that were lost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from growlab.page.figure import Charts
from growlab.page.markup import Html, TableHead, element, table

if TYPE_CHECKING:
    from growlab.notebook import LoadedStudy

_BAD_ENDS = ("crashed", "lost")
_MOST_NAMED = 12


def section(study: "LoadedStudy", charts: Charts) -> Html:
    parts = [part for part in (_trials(study), _attempts(study)) if part]
    return Html("".join(parts)) or element("p", "No trial failed, and no attempt was lost.")


def _trials(study: "LoadedStudy") -> Html:
    rows = [[failure.state, len(failure.trials), failure.cause, _numbers(failure.trials)] for failure in study.failures]
    if not rows:
        return Html("")
    heads = [TableHead("state"), TableHead("trials", number=True), TableHead("cause"), TableHead("which")]
    return table(heads, rows, "Trials that failed, by cause")


def _attempts(study: "LoadedStudy") -> Html:
    attempts = study.attempts()
    bad = attempts[attempts.end_reason.isin(_BAD_ENDS)]
    if bad.empty:
        return Html("")
    rows = [
        [row.trial, row.epoch, row.worker, row.device, row.end_reason, row.note if isinstance(row.note, str) else ""]
        for row in bad.head(100).itertuples()
    ]
    heads = [
        TableHead("trial", number=True), TableHead("attempt", number=True), TableHead("worker"), TableHead("device"),
        TableHead("ended as"), TableHead("note"),
    ]  # fmt: skip
    return Html(element("h3", "Attempts that were lost") + table(heads, rows, "Attempts that were lost"))


def _numbers(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return ", ".join(map(str, numbers[:_MOST_NAMED])) + more
