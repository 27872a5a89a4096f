"""A row that a person edited is that row's fault: it is named, and what stands beside it is read."""

import json
from contextlib import closing

import pytest

from growlab.errors import NotFound, StorageError, UsageError
from growlab.storage import Store
from growlab.storage.values import Unreadable, read_json

FORGED = {
    ("gl_trials", "spec"): ("{}", "[]", "3", '"text"', '{"seed": 1, "budget": []}'),
    ("gl_trials", "params"): ("[]", "null", '"text"'),
    ("gl_decisions", "finished"): ("{}", "3", '["a"]', "[true]"),
    ("gl_decisions", "running"): ("null", "[[1]]"),
}
NO_JSON = ("", "{", "[" * 100_000, '{"seed": ' + "1" * 5_000 + "}")  # that PostgreSQL does not take


@pytest.fixture
def two_trials(lab, point, event):
    """Completed ones, with a point of a trajectory and a growth each."""
    lab.enqueue(0, 1)
    worker = lab.worker()
    for _ in range(2):
        lab.store.finish(lab.claim(worker), lab.result(), [point, event], [])
    return lab


def read_whole(lab, number):
    trial = lab.store.trial(lab.study_id, number)
    trial.require_sound()
    return lab.store.decision(trial.id), lab.store.trajectory(trial.id), lab.store.growth_events(trial.id)


@pytest.mark.parametrize(("table", "column"), FORGED)
def test_a_json_column_of_a_wrong_shape_is_named_with_its_trial(two_trials, table, column):
    lab = two_trials
    for value in FORGED[table, column]:
        key = "id" if table == "gl_trials" else "trial_id"
        where = f"{key} = (SELECT id FROM gl_trials WHERE number = 1)"
        lab.sql(f"UPDATE {table} SET {column} = :value WHERE {where}", value=value)

        with pytest.raises(StorageError, match=f"^trial 1 has a damaged row: {table}.{column}: .*; bring the") as said:
            read_whole(lab, 1)

        assert "\n" not in str(said.value)
        assert [trial.number for trial in lab.store.trials(lab.study_id)] == [0, 1]
        assert len(read_whole(lab, 0)) == 3


@pytest.mark.parametrize("table", ["gl_trajectory", "gl_growth_events"])
@pytest.mark.parametrize("value", ["nonsense", "tau=", "tau=1=2", "tau=12", "=\x1b[2J"])
def test_a_column_not_finite_that_nobody_wrote_is_named_with_its_trial(two_trials, table, value):
    where = "trial_id = (SELECT id FROM gl_trials WHERE number = 1)"
    two_trials.sql(f"UPDATE {table} SET not_finite = :value WHERE {where}", value=value)

    with pytest.raises(StorageError, match=f"^trial 1 has a damaged row: {table}.not_finite: .*cannot be read"):
        read_whole(two_trials, 1)

    assert len(read_whole(two_trials, 0)) == 3


@pytest.mark.parametrize("text", NO_JSON)
def test_what_is_no_json_is_one_row_s_fault(sqlite_url, new_lab, text):
    lab = new_lab(sqlite_url)
    lab.enqueue(0, 1)
    lab.sql("UPDATE gl_trials SET spec = :text, params = :text WHERE number = 1", text=text)

    trials = lab.store.trials(lab.study_id)

    assert trials[0].spec.seed == 7
    with pytest.raises(StorageError, match=r"^trial 1 has a damaged row: gl_trials\.spec: .* is no JSON"):
        trials[1].require_sound()


def test_json_is_read_as_json_reads_it():
    value = {"a": [1, 2.5, None, True, "é"]}

    assert read_json(json.dumps(value)) == read_json(json.dumps(value).encode()) == value
    assert read_json("{") == Unreadable("{")


@pytest.mark.parametrize("spec", ["[]", '{"n_trials": "many"}', '{"name": 3}'])
def test_a_damaged_study_is_listed_and_says_what_is_wrong_when_it_is_read(lab, spec):
    lab.add_study("sound")
    lab.sql("UPDATE gl_studies SET spec = :spec WHERE name = 'nightly'", spec=spec)

    assert {each.name: each.n_trials for each in lab.store.studies()} == {"nightly": 0, "sound": 10}
    with pytest.raises(StorageError, match=r"^study 'nightly' has a damaged row: gl_studies\.spec: .*; bring the"):
        lab.store.study("nightly")


def test_a_name_that_is_no_text_is_no_study(lab):
    for action in (lab.store.study, lab.store.delete_study):
        with pytest.raises(NotFound, match=r"no study '.udcff'; known: nightly"):
            action("\udcff")
        with pytest.raises(NotFound, match=r"no study 'x*…x*'; known: nightly"):
            action("x" * 100_000)


def test_a_worker_s_name_that_is_no_text_is_stored_as_one(lab):
    lab.worker("gpu\udcff\x000")

    assert lab.sql("SELECT name FROM gl_workers") == [("gpu?␀0",)]


def test_a_name_that_no_folder_can_have_is_refused_when_the_study_is_made(storage_url, make_study):
    with closing(Store.open(storage_url)) as store:
        store.create_study(make_study("ü" * 100))
        with pytest.raises(
            UsageError, match=r"name: '語*…語*' has 300 bytes in UTF-8, and the folder of its trials can"
        ):
            store.create_study(make_study("語" * 100))
