"""Which rows of a leaderboard somebody wants to see, and which columns of them: for a terminal, a page, a notebook."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from growlab.domains import Fixed
from growlab.errors import UnknownName, UsageError, did_you_mean
from growlab.escapes import quoted
from growlab.report.columns import Column, LeaderboardRow, column_named, known_columns
from growlab.report.trial_values import TrialValue, value_text
from growlab.report.where import AllOf, AnyOf, Comparison, Condition, Has, Not, Operator, fault, parse
from growlab.study import Study
from growlab.study.study import PLAIN

Test = Callable[[LeaderboardRow], bool]

_OPTIONS = re.compile(r"\[[^\]]*\]|\bd=\d+|\b(?:front|head)=")  # of a layout's text, all that is no kind
_KIND = re.compile(r"[a-z][a-z0-9_]*")
_REPEATED = re.compile(r"\)\s*x\s*\d+")
_COMPARED: Mapping[Operator, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    "=": lambda value, bound: value == bound,
    "!=": lambda value, bound: value != bound,
    ">=": lambda value, bound: value >= bound,
    ">": lambda value, bound: value > bound,
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is wanted of a leaderboard, as a person says it. Empty: all of it."""

    where: str = ""  # growlab.report.where
    columns: tuple[str, ...] = ()  # by their names, in this order
    top: int = 0  # rows at most; 0: all


EVERYTHING = Selection()


@dataclass(frozen=True, kw_only=True)
class Selected:
    rows: list[LeaderboardRow]
    n_matching: int  # how many there were before `top`
    n_trials: int
    columns: tuple[Column, ...]  # that were asked for, in this order; none: those that fit the rows


def select(rows: Sequence[LeaderboardRow], selection: Selection, study: Study) -> Selected:
    """Select rows of a study's leaderboard, in their order, and columns.

    Raises UsageError that points at the place of a condition that cannot be read, and UnknownName for a column.
    """
    columns = columns_of_study(rows, study) if selection.columns or selection.where else []
    chosen = tuple(column_named(name, columns) for name in selection.columns)
    found = matching(rows, selection.where, columns, kinds_of_study(study)) if selection.where else list(rows)
    return Selected(
        rows=found[: selection.top] if selection.top else found,
        n_matching=len(found),
        n_trials=len(rows),
        columns=chosen,
    )


def columns_of_study(rows: Sequence[LeaderboardRow], study: Study) -> list[Column]:
    """Every column that these rows have, or that rows of the study may have."""
    return known_columns(rows, study.metrics, searched_names(study))


def searched_names(study: Study) -> list[str]:
    """The full names of the scalars that a study does not fix."""
    return [name for name, domain in study.scalars().items() if not isinstance(domain, Fixed)]


def read_columns(text: str) -> tuple[str, ...]:
    """The names in 'rank,layout,val_loss'. Raises UsageError for an empty one."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"--columns {quoted(text)} has an empty name; write it like rank,layout,val_loss,params")
    return names


# ---- conditions -----------------------------------------------------------------------------------------------------


def matching(
    rows: Sequence[LeaderboardRow], where: str, columns: Sequence[Column], kinds: Iterable[str] = ()
) -> list[LeaderboardRow]:
    """The rows that a condition holds of. What is not known satisfies no comparison, but satisfies its opposite, `not`.

    Besides the kinds of these rows' layouts `kinds` are known. Raises UsageError that points at the place.
    """
    known_kinds = {*kinds, *(kind for row in rows for kind in _kinds_of(row))}
    test = _Tests(where, rows, columns, known_kinds).of(parse(where))
    return [row for row in rows if test(row)]


def kinds_of_study(study: Study) -> set[str]:
    """The kinds that layouts of a study may have."""
    space = study.layouts
    texts = (*space.blocks, *space.start_with, *space.front, *space.head)
    return {kind for text in texts for kind in kinds_in(text)} - {PLAIN}


@cache
def kinds_in(layout: str) -> frozenset[str]:
    """The kinds of blocks, nests, front end and head that a layout's text names; of a damaged text its words."""
    return frozenset(_KIND.findall(_REPEATED.sub(")", _OPTIONS.sub(" ", layout))))


def _kinds_of(row: LeaderboardRow) -> frozenset[str]:
    return kinds_in(row.layout) | kinds_in(row.layout_end or "")


class _Tests:
    """Makes functions of a row from the parts of a condition; each name and value is checked before any row is."""

    def __init__(
        self, text: str, rows: Sequence[LeaderboardRow], columns: Sequence[Column], kinds: Collection[str]
    ) -> None:
        self._text, self._rows, self._columns, self._kinds = text, rows, columns, kinds

    def of(self, condition: Condition) -> Test:
        match condition:
            case Comparison():
                return self._comparison(condition)
            case Has():
                return self._has(condition)
            case Not(inner):
                negated = self.of(inner)
                return lambda row: not negated(row)
            case AllOf(parts):
                every = [self.of(part) for part in parts]
                return lambda row: all(test(row) for test in every)
            case AnyOf(parts):
                some = [self.of(part) for part in parts]
                return lambda row: any(test(row) for test in some)

    def _has(self, condition: Has) -> Test:
        kind = condition.kind
        if kind not in self._kinds:
            known = ", ".join(sorted(self._kinds)) or "none yet"
            hint = did_you_mean(kind, self._kinds)
            raise fault(self._text, condition.at, f"no layout here has {quoted(kind)}; there are: {known}.{hint}")
        return lambda row: kind in _kinds_of(row)

    def _comparison(self, condition: Comparison) -> Test:
        try:
            column = column_named(condition.name, self._columns)
        except (UnknownName, UsageError) as error:
            raise fault(self._text, condition.at, str(error)) from None
        get = column.getter
        values = {type(value): value for row in self._rows if (value := get(row)) is not None}
        for value in values.values():
            self._check(condition, value)
        return lambda row: _holds(condition, get(row))

    def _check(self, condition: Comparison, value: TrialValue) -> None:
        """Refuse what cannot be asked of such a value. Raises UsageError."""
        name, operator, operand = condition.name, condition.operator, condition.value
        if isinstance(value, bool | str):
            if operator not in ("=", "!=", "~"):
                problem = f"{name} is no number, as in {value_text(value)}; compare it with =, != or ~"
                raise fault(self._text, condition.at, problem)
        elif operator == "~":
            raise fault(self._text, condition.at, f"{name} is a number; ~ looks for a part of a text")
        elif operand.number is None:
            raise fault(self._text, operand.at, f"{name} is a number, {quoted(operand.text)} is none")


def _holds(condition: Comparison, value: TrialValue) -> bool:
    operator, operand = condition.operator, condition.value
    if value is None:
        return False
    if isinstance(value, bool | str):
        text = value_text(value)
        if operator == "~":
            return operand.text.casefold() in text.casefold()
        return (text == operand.text) == (operator == "=")
    return operand.number is not None and _COMPARED[operator](value, operand.number)
