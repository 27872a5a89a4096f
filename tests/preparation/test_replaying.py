"""Every proposal of a stored study made again from its rows, by SQLite and PostgreSQL."""

from random import Random

import pytest

from growlab.errors import GrowlabError
from growlab.kinds import KINDS
from growlab.preparation.confirming import find_or_confirm
from growlab.preparation.replaying import replay_study
from growlab.records import TrialResult, TrialState
from growlab.search import New, decide
from growlab.storage import Database, Store
from growlab.study.reading import study_from_mapping

N_WORKERS = 3


def study_named(name="nightly", n_trials=10, **changes):
    return study_from_mapping(
        {
            "name": name,
            "n_trials": n_trials,
            "layouts": {"d_model": [16, 32], "depth": [1, 4], "blocks": {"attn": {"n_heads": [1, 2]}, "mlp": {}}},
            "budget": {"steps": 100},
            "train": {"lr": "search"},
            "sampler": {"name": "model", "startup_trials": 3},
            **changes,
        }
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'growlab.db'}"
    return request.getfixturevalue("new_postgres_database")()


@pytest.fixture
def store(url):
    with Store.open(url, create=True) as store:
        yield store


def measure(layout):
    return len(str(layout))


def work(store, name, seed=0):
    """Interleaved workers serve the study until it has all its trials; at the end some still run."""
    rng, row = Random(seed), store.study(name)
    worker_id = store.register_worker(name="w", device="cpu", versions={})
    held = []
    while isinstance(found := decide(row.study, store.past_trials(row.id, "val_loss"), KINDS, measure), New):
        store.enqueue(row.id, found.proposal, revision=row.revision)
        held.append(store.claim_next(row.id, worker_id, lease_s=60))
        if len(held) == N_WORKERS:
            claim = held.pop(rng.randrange(N_WORKERS))
            state = rng.choice([TrialState.COMPLETED] * 5 + [TrialState.FAILED, TrialState.DIVERGED])
            store.finish(claim, result(claim, state, 1 + len(claim.layout) / 50 + 100 * claim.spec.train.lr), [], [])
    return held


def result(claim, state, value):
    value = value if state is TrialState.COMPLETED else None
    return TrialResult(
        state=state,
        layout_end=claim.layout,
        depth_end=2,
        n_params=1,
        val_loss=value,
        best_val_loss=value,
        bits_per_byte=value,
        flops=1,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )


def replay(store, name="nightly"):
    places = {"paths": (), "storage": store.url, "plugins": (), "tell": print}
    return replay_study(store, store.study(name), **places)


@pytest.fixture
def measured(monkeypatch):
    """Parameters counted as `work` counts them; the study has no text."""
    monkeypatch.setattr("growlab.preparation.replaying._measure", lambda *places: measure)


@pytest.mark.usefixtures("measured")
def test_every_proposal_is_made_again_whatever_has_ended_since(store):
    store.create_study(study_named(n_trials=16))
    held = work(store, "nightly")
    for claim in held:  # after all was decided
        store.finish(claim, result(claim, TrialState.COMPLETED, 0.5), [], [])

    found = replay(store)

    assert (found.n_proposals, found.n_given, found.n_rounded, found.deviations) == (16, 0, 0, [])
    assert found.summary == "16 of 16 proposals made again, byte for byte"
    assert any(store.decision(trial.id).predicted for trial in store.trials(store.study("nightly").id))


@pytest.mark.usefixtures("measured")
def test_each_decision_names_the_revision_of_the_study_that_it_was_made_by(store):
    store.create_study(study_named(n_trials=4))
    work(store, "nightly")
    store.set_n_trials("nightly", 6)
    store.set_n_trials("nightly", 6)  # changes nothing
    work(store, "nightly", seed=1)

    row = store.study("nightly")
    assert row.revision == 1
    assert [study.n_trials for study in store.revisions(row.id)] == [4, 6]
    assert [store.decision(trial.id).revision for trial in store.trials(row.id)] == [0, 0, 0, 0, 1, 1]
    assert replay(store).deviations == []


@pytest.mark.usefixtures("measured")
def test_what_came_out_otherwise_is_named_with_both_values(store, url):
    store.create_study(study_named())
    work(store, "nightly")
    with Database.open(url) as database:
        rows = "WHERE number = 5 OR number = 7"
        database.write(lambda connection: connection.exec_driver_sql(f"UPDATE gl_trials SET depth_start = 99 {rows}"))

    found = replay(store)

    assert found.summary == "8 of 10 proposals made again, byte for byte"
    assert [deviation.trial for deviation in found.deviations] == [5, 7]
    again = found.deviations[0].keys["depth"][1]
    assert found.deviations[0].line == f"trial 5: depth is 99 there, {again} again"


@pytest.mark.usefixtures("measured")
def test_the_last_digits_of_a_prediction_are_another_machines_and_no_deviation(store, url):
    store.create_study(study_named(n_trials=16))
    work(store, "nightly")
    with Database.open(url) as database:
        change = "UPDATE gl_decisions SET predicted_mean = predicted_mean * 1.0000000001"
        n = database.write(lambda connection: connection.exec_driver_sql(f"{change} WHERE predicted_mean > 0").rowcount)

    found = replay(store)

    assert (found.n_rounded, found.deviations) == (n, [])
    assert n > 0


@pytest.mark.usefixtures("measured")
def test_trials_that_nobody_searched_for_are_counted_and_left_out(store):
    store.create_study(study_named(n_trials=6))
    for claim in work(store, "nightly"):
        store.finish(claim, result(claim, TrialState.COMPLETED, 0.5), [], [])
    store.change_study("nightly", {"stop_when": {"val_loss": 9.0}})
    confirming = find_or_confirm(store, store.study("nightly"), 1, 2, print)

    found = replay(store, "nightly-confirm")

    assert found.summary == "0 of 0 proposals made again, byte for byte; 2 more were given, not searched for"
    assert not confirming.study.limits  # all its winners are trained


def test_a_text_that_is_needed_and_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, space = {"source": "text", "path": "nowhere.txt"}, {"d_model": 16, "depth": 2, "blocks": ["attn", "mlp"]}
    with Store.open("sqlite:///growlab.db", create=True) as store:
        store.create_study(study_named(n_trials=3, data=data, layouts={**space, "max_params": 10**6}))
        for claim in work(store, "nightly"):
            store.finish(claim, result(claim, TrialState.COMPLETED, 0.5), [], [])

        with pytest.raises(GrowlabError, match=r"nowhere\.txt"):
            replay(store)
