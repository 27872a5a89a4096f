"""A database that an earlier growlab wrote: refused until somebody upgrades it, and then complete."""

from dataclasses import replace

import pytest

from growlab.errors import SchemaError
from growlab.proposal import Proposal
from growlab.records import TrialState
from growlab.storage import Database, Store, current_revision, head_revision, upgrade
from growlab.storage.tables import metadata


@pytest.fixture
def old(old_url):
    with Database.open(old_url) as database:
        yield database


@pytest.fixture
def upgraded(old_url, old):
    upgrade(old)
    with Store.open(old_url) as store:
        yield store


def rows_of(database: Database, columns: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    """Of these columns of each table, past the models."""

    def read(connection):
        return {
            table: sorted(connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}").all(), key=repr)
            for table, names in columns.items()
        }

    return database.read(read)


SINCE = {
    "0002": {("gl_trials", "engine")},
    "0003": {("gl_trials", "lease_s"), ("gl_attempts", "step"), ("gl_workers", "silence_ended_at")},
    "0004": {("gl_decisions", f"predicted_{name}") for name in ("mean", "sd", "runs")},
    "0005": {("gl_studies", "former_specs"), ("gl_decisions", "revision")},
    "0006": {("gl_trials", "may_pass"), ("gl_decisions", "climbs")},
}
TABLES_SINCE = {"gl_rungs": "0006", "gl_promotions": "0006", "gl_stops": "0007"}


@pytest.fixture
def old_columns(old_schema) -> dict[str, list[str]]:
    later = {column for schema, columns in SINCE.items() if schema > old_schema for column in columns}
    return {
        name: [column.name for column in table.columns if (name, column.name) not in later]
        for name, table in metadata.tables.items()
        if TABLES_SINCE.get(name, "0001") <= old_schema
    }


@pytest.mark.parametrize("create", [False, True])
def test_it_is_refused_with_the_command_that_upgrades_it_and_left_alone(old_url, old, old_schema, create):
    with pytest.raises(SchemaError) as refusal:
        Store.open(old_url, create=create)

    needs = f"this growlab needs {head_revision()}; back it up (growlab db backup FILE"
    assert str(refusal.value).startswith(f"{old.label} has schema {old_schema}, {needs}")
    assert "), then run: growlab db upgrade" in str(refusal.value)
    assert current_revision(old) == old_schema


def test_the_upgrade_keeps_every_row(old, old_columns):
    before = rows_of(old, old_columns)

    upgrade(old)
    upgrade(old)  # a second one finds nothing to do

    assert rows_of(old, old_columns) == before
    assert all(before.values())
    assert current_revision(old) == head_revision()


def test_its_trials_are_read_and_what_was_not_recorded_then_is_not_known(upgraded, old_schema):
    trials = upgraded.trials(upgraded.study("nightly").id)

    assert [str(trial.state) for trial in trials] == ["completed", "diverged", "running", "queued", "queued"]
    assert [trial.engine for trial in trials] == ["" if old_schema == "0001" else "graph", "", "", "", ""]
    known_steps = {0, 50} if old_schema >= "0003" else {0}
    assert {attempt.step for trial in trials for attempt in upgraded.attempts(trial.id)} == known_steps
    assert trials[0].val_loss == 1.5
    assert upgraded.growth_events(trials[0].id)[0].n_params_after == 2**33


def test_a_trial_that_ran_before_the_upgrade_goes_on_after_it(upgraded, old, make_result):
    study_id = upgraded.study("nightly").id
    worker_id = upgraded.register_worker(name="gpu2", device="cpu", versions={})
    old.write(lambda connection: connection.exec_driver_sql("UPDATE gl_workers SET silence_ended_at = 0"))
    old.write(lambda connection: connection.exec_driver_sql("UPDATE gl_trials SET lease_s = 0"))

    claim = upgraded.claim_next(study_id, worker_id, lease_s=60)
    upgraded.finish(claim, make_result(engine="graph"), [], [])

    assert (claim.number, claim.checkpoint.step) == (2, 50)
    trial = upgraded.trial(study_id, 2)
    assert (trial.state, trial.engine) == (TrialState.COMPLETED, "graph")


def test_a_worker_that_is_at_work_during_the_upgrade_goes_on_adding_trials(old, old_columns):
    """It names the columns that it knows."""
    known = old_columns["gl_trials"]
    of_another = [{"id": "100", "number": "5"}.get(name, name) for name in known]
    upgrade(old)

    def add(connection):
        connection.exec_driver_sql(
            f"INSERT INTO gl_trials ({', '.join(known)}) SELECT {', '.join(of_another)} FROM gl_trials WHERE number = 4"
        )
        return connection.exec_driver_sql("SELECT engine FROM gl_trials WHERE number = 5").scalar_one()

    assert old.write(add) == ""


def test_no_id_that_was_ever_given_is_given_again(upgraded):
    """Trial 6 was deleted; a worker that slept through it may still hold a claim with that id."""
    study_id = upgraded.study("nightly").id
    waiting = upgraded.trial(study_id, 4)
    decision = replace(upgraded.decision(waiting.id), number=5)

    upgraded.enqueue(
        study_id, Proposal(spec=waiting.spec, layout=waiting.layout, depth=2, params={}, decision=decision)
    )

    assert upgraded.trial(study_id, 5).id == 7
