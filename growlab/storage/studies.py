"""Studies: made once, never changed but for how long they go on, deleted whole."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from growlab.errors import NotFound, SpecError, StorageError, UsageError, did_you_mean
from growlab.escapes import quoted
from growlab.records import TrialState, n_ended
from growlab.storage import spending
from growlab.storage.clock import database_now
from growlab.storage.rows import StudyRow, StudySummary, Tally
from growlab.storage.tables import studies, trials
from growlab.storage.upsert import insert_unless_there
from growlab.storage.values import clean_text
from growlab.study import Study
from growlab.study.column import study_from_column, study_to_mapping
from growlab.suggest import command

_MOST_BYTES = 200  # file systems give a folder's name 255, and an id stands behind this one


def create_study(connection: Connection, study: Study, options: Sequence[str] = ()) -> int:
    """Add a study and return its id. Raises StorageError when the name is taken, UsageError when no folder can have it.

    `options` are those that name this database to a command.
    """
    if (n_bytes := len(study.name.encode())) > _MOST_BYTES:
        raise UsageError(
            f"name: {quoted(study.name)} has {n_bytes} bytes in UTF-8, and the folder of its trials can have "
            f"{_MOST_BYTES} in its name; choose a shorter one"
        )
    row = {"name": study.name, "created_at": database_now(), "spec": study_to_mapping(study)}
    made: int | None = connection.scalar(insert_unless_there(connection, studies, row).returning(studies.c.id))
    if made is None:
        raise StorageError(
            f"study {study.name!r} exists already; give this one another with --name, "
            f"or work on it: {command('worker', study.name, options=options)}"
        )
    return made


def read_study(connection: Connection, name: str, options: Sequence[str] = ()) -> StudyRow:
    """Read a study by its name. Raises NotFound, and StorageError for a damaged row."""
    if name != clean_text(name):  # of bytes that are no text: no database knows it, and no driver takes it
        raise _not_found(connection, name, options)
    row = connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
    if row is None:
        raise _not_found(connection, name, options)
    try:
        return StudyRow(
            id=row.id, created_at=row.created_at, study=study_from_column(row.spec), revision=len(row.former_specs)
        )
    except SpecError as error:
        raise _damaged(name, "spec", error) from None


def read_revisions(connection: Connection, study_id: int) -> list[Study]:
    """Read a study as it was at first, after each change, and as it is. Raises NotFound, StorageError."""
    row = connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()
    if row is None:
        raise NotFound("the study was deleted")
    try:
        return [study_from_column(spec) for spec in [*row.former_specs, row.spec]]
    except SpecError as error:
        raise _damaged(row.name, "former_specs or spec", error) from None


def _damaged(name: str, column: str, error: SpecError) -> StorageError:
    return StorageError(
        f"study {quoted(name)} has a damaged row: gl_studies.{column}: {error}; bring the database back from its backup"
    )


def read_studies(connection: Connection) -> list[StudySummary]:
    """Read all studies, the oldest first."""
    asked = select(studies.c.id, studies.c.name, studies.c.created_at, studies.c.spec).order_by(studies.c.id)
    by_study: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(_trials_by_state()):
        by_study.setdefault(row.study_id, []).append(row)
    return [_summary(connection, study, by_study.get(study.id, [])) for study in connection.execute(asked).all()]


def _summary(connection: Connection, study: Any, by_state: Sequence[Row[Any]]) -> StudySummary:
    counts, n_trials = _counts(by_state), _n_trials(study.spec)
    return StudySummary(
        id=study.id,
        name=study.name,
        created_at=study.created_at,
        n_trials=n_trials,
        counts=counts,
        best_val_loss=_best(by_state),
        over=spending.why_over(connection, study.id) if n_ended(counts) < n_trials else "",
    )


def read_n_trials(connection: Connection, study_id: int) -> int:
    """Read the number of trials that the study wants now. Raises NotFound when it was deleted."""
    n_trials: int | None = connection.scalar(
        select(studies.c.spec["n_trials"].as_integer()).where(studies.c.id == study_id)
    )
    if n_trials is None:
        raise NotFound("the study was deleted; there is nothing left to do for it")
    return n_trials


def set_n_trials(connection: Connection, name: str, n_trials: int, options: Sequence[str] = ()) -> None:
    """Set the number of trials that a study wants, as `change_study` does."""
    change_study(connection, name, {"n_trials": n_trials}, options)


def change_study(connection: Connection, name: str, changes: Mapping[str, Any], options: Sequence[str] = ()) -> None:
    """Set sections of a study's column: its next revision. None takes a section away.

    Raises NotFound, and UsageError for fewer trials than there are: none is ever taken away.

    The row is locked, so that no worker adds a trial meanwhile.
    """
    row = connection.execute(select(studies).where(studies.c.name == name).with_for_update()).one_or_none()
    if row is None:
        raise _not_found(connection, name, options)
    there = sum(count_trials(connection, row.id).values())
    if (n_trials := changes.get("n_trials", there)) < there:
        raise UsageError(f"n_trials must be at least {there}, as study {name!r} has so many trials, got {n_trials}")
    spec = {key: value for key, value in {**row.spec, **changes}.items() if value is not None}
    if spec != row.spec:
        changed = {"spec": spec, "former_specs": [*row.former_specs, row.spec]}
        connection.execute(update(studies).where(studies.c.id == row.id).values(changed))


def reserve(connection: Connection, study_id: int, first: int, n: int) -> bool:
    """Let a study want n trials more than it has, if it has those before `first` and no others; else change nothing.

    The row stays locked until the end of the transaction, so that nobody else adds a trial meanwhile. Raises NotFound.
    """
    spec = connection.scalar(select(studies.c.spec).where(studies.c.id == study_id).with_for_update())
    if spec is None:
        raise NotFound("the study was deleted; nothing can be added to it")
    if sum(count_trials(connection, study_id).values()) != first:
        return False
    connection.execute(update(studies).where(studies.c.id == study_id).values(spec={**spec, "n_trials": first + n}))
    return True


def count_trials(connection: Connection, study_id: int) -> dict[TrialState, int]:
    """Count the trials in every state, also in those that none is in."""
    return _counts(connection.execute(_trials_by_state().where(trials.c.study_id == study_id)))


def read_tally(connection: Connection, study_id: int) -> Tally:
    """Read how a study stands, in one statement and so at one moment."""
    by_state = connection.execute(_trials_by_state().where(trials.c.study_id == study_id)).all()
    return Tally(counts=_counts(by_state), n_promotions=sum(row.n_promotions for row in by_state))


def delete_study(connection: Connection, name: str, options: Sequence[str] = ()) -> None:
    """Delete a study with all its trials and facts. Raises NotFound, and StorageError while somebody works on it."""
    if name != clean_text(name):
        raise _not_found(connection, name, options)
    study_id = connection.scalar(select(studies.c.id).where(studies.c.name == name).with_for_update())
    if study_id is None:
        raise _not_found(connection, name, options)
    busy = [row.number for row in _locked_trials(connection, study_id) if (row.lease_left_s or 0) > 0]
    if busy:
        raise StorageError(
            f"study {name!r} has trials that run ({', '.join(map(str, busy))}); "
            f"stop its workers, or wait until their leases end, then delete it"
        )
    connection.execute(delete(studies).where(studies.c.id == study_id))


def _n_trials(spec: object) -> int:
    """The n_trials of a study; 0 in a damaged row, so that those beside it are seen; reading it tells the fault."""
    match spec:
        case {"n_trials": int(n_trials)}:
            return n_trials
    return 0


def _trials_by_state() -> Select[Any]:
    numbers = (
        func.count().label("n"),
        func.min(trials.c.val_loss).label("best_val_loss"),
        func.sum(trials.c.may_pass).label("n_promotions"),
    )
    return select(trials.c.study_id, trials.c.state, *numbers).group_by(trials.c.study_id, trials.c.state)


def _counts(by_state: Iterable[Row[Any]]) -> dict[TrialState, int]:
    counted = {row.state: row.n for row in by_state}
    return {state: counted.get(state, 0) for state in TrialState}


def _best(by_state: Iterable[Row[Any]]) -> float | None:
    return next((row.best_val_loss for row in by_state if row.state == TrialState.COMPLETED), None)


def _locked_trials(connection: Connection, study_id: int) -> list[Row[Any]]:
    """Lock all trials of a study, so that no claim slips in between the check and the deletion."""
    lease_left_s = (trials.c.lease_expires_at - database_now()).label("lease_left_s")
    asked = select(trials.c.number, lease_left_s).where(trials.c.study_id == study_id)
    return list(connection.execute(asked.order_by(trials.c.number).with_for_update()))


def _not_found(connection: Connection, name: str, options: Sequence[str]) -> NotFound:
    known = list(connection.scalars(select(studies.c.name).order_by(studies.c.name)))
    if not known:
        create_one = command("study create", "FILE", options=options)
        return NotFound(f"no study {quoted(name)}, and none at all here; create one: {create_one}")
    return NotFound(f"no study {quoted(name)}; known: {', '.join(known)}.{did_you_mean(name, known)}")
