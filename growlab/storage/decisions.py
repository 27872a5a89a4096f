"""What a search decided, as rows and back: which trial came about how, and which one goes on from its rung.

Both keep the past that was seen, by number, so that the decision can be made again (growlab.search.replay).
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, select

from growlab.errors import NotFound
from growlab.escapes import quoted
from growlab.records import Climb, Decision, Prediction, Promotion
from growlab.storage.tables import decisions, promotions, trials
from growlab.storage.values import damaged, whole_numbers


def decision_row(decision: Decision) -> dict[str, Any]:
    """The columns of gl_decisions, but for the trial and the revision."""
    how = {name: getattr(decision, name) for name in ("seed", "origin", "parent", "mutation")}
    return how | _seen_row(decision)


def promotion_row(promotion: Promotion) -> dict[str, Any]:
    """The columns of gl_promotions, but for the trial, the revision and the time."""
    return {"rung": promotion.rung, **_seen_row(promotion)}


def _seen_row(decision: Decision | Promotion) -> dict[str, Any]:
    predicted = {} if decision.predicted is None else asdict(decision.predicted)
    return {
        "finished": list(decision.finished),
        "running": list(decision.running),
        "climbs": [[climb.trial, climb.n_readings, climb.may_pass] for climb in decision.climbs],
        **{f"predicted_{name}": value for name, value in predicted.items()},
    }


def read_decision(connection: Connection, trial_id: int) -> Decision:
    """Read the decision that proposed a trial. Raises NotFound, and StorageError for a damaged row."""
    asked = select(trials.c.number, decisions).join_from(decisions, trials).where(trials.c.id == trial_id)
    row = connection.execute(asked).one_or_none()
    if row is None:
        raise NotFound(f"no trial has the id {trial_id}; it was deleted with its study")
    return Decision(
        number=row.number,
        seed=row.seed,
        origin=row.origin,
        parent=row.parent,
        mutation=row.mutation,
        **_seen(row, "gl_decisions"),
    )


def read_promotions(connection: Connection, trial_id: int) -> list[Promotion]:
    """Read the promotions that a trial had, from the lowest rung on. Raises StorageError for a damaged row."""
    asked = select(trials.c.number, promotions).join_from(promotions, trials).where(trials.c.id == trial_id)
    return [_promotion(row) for row in connection.execute(asked.order_by(promotions.c.rung))]


def read_all_promotions(connection: Connection, study_id: int) -> list[Promotion]:
    """Read the promotions of all trials of a study, in the order in which they were made. Raises StorageError."""
    asked = select(trials.c.number, promotions).join_from(promotions, trials).where(trials.c.study_id == study_id)
    in_order = asked.order_by(promotions.c.created_at, trials.c.number, promotions.c.rung)
    return [_promotion(row) for row in connection.execute(in_order)]


def _promotion(row: Row[Any]) -> Promotion:
    return Promotion(trial=row.number, rung=row.rung, **_seen(row, "gl_promotions"))


def _seen(row: Row[Any], table: str) -> dict[str, Any]:
    """The fields that both sorts of decisions have. Raises StorageError that names the trial of a damaged row."""
    read: dict[str, Callable[[object], object]] = {
        "finished": whole_numbers,
        "running": whole_numbers,
        "climbs": _climbs,
    }
    seen: dict[str, Any] = {}
    for name, read_column in read.items():
        try:
            seen[name] = read_column(getattr(row, name))
        except ValueError as error:
            raise damaged(row.number, f"{table}.{name}", str(error)) from None
    predicted = [getattr(row, f"predicted_{name}") for name in ("mean", "sd", "runs")]
    known = None if None in predicted else Prediction(mean=predicted[0], sd=predicted[1], runs=predicted[2])
    return {**seen, "predicted": known, "revision": row.revision}


def _climbs(value: object) -> tuple[Climb, ...]:
    """Read [trial, readings, may_pass] of each climb. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list, got {quoted(value)}")
    numbers = [whole_numbers(climb) for climb in value]
    if wrong := [climb for climb in numbers if len(climb) != 3]:
        raise ValueError(f"must hold [trial, readings, may_pass] of each, got {quoted(list(wrong[0]))}")
    return tuple(Climb(trial=trial, n_readings=n, may_pass=may_pass) for trial, n, may_pass in numbers)
