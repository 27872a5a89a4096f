"""What a study takes over from another one is kept with it, by SQLite and PostgreSQL."""

import pytest

from growlab.errors import NotFound, UsageError
from growlab.kinds import KINDS
from growlab.preparation.replaying import replay_study
from growlab.preparation.transferring import with_transferred
from growlab.records import TrialResult, TrialState
from growlab.search import New, decide
from growlab.storage import Store
from growlab.study.reading import study_from_mapping


def study_named(name, n_trials, **sampler):
    return study_from_mapping(
        {
            "name": name,
            "n_trials": n_trials,
            "layouts": {"d_model": [16, 32], "depth": [1, 4], "blocks": {"attn": {"n_heads": [1, 2]}, "mlp": {}}},
            "budget": {"steps": 100},
            "train": {"lr": "search"},
            "sampler": {"name": "model", "startup_trials": 4, **sampler},
        }
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = (
        f"sqlite:///{tmp_path / 'growlab.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("new_postgres_database")()
    )
    with Store.open(url, create=True) as store:
        yield store


def measure(layout):
    return len(str(layout))


def work(store, name, n, state=TrialState.COMPLETED):
    """A worker serves n trials of the study."""
    row = store.study(name)
    worker_id = store.register_worker(name="w", device="cpu", versions={})
    for _ in range(n):
        found = decide(row.study, store.past_trials(row.id, "val_loss"), KINDS, measure)
        assert isinstance(found, New)
        store.enqueue(row.id, found.proposal, revision=row.revision)
        claim = store.claim_next(row.id, worker_id, lease_s=60)
        value = 1 + len(claim.layout) / 50 + 100 * claim.spec.train.lr if state is TrialState.COMPLETED else None
        store.finish(claim, result(claim, state, value), [], [])


def result(claim, state, value):
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


def replayed(store, name):
    return replay_study(store, store.study(name), paths=(), storage="", plugins=(), tell=print)


def test_what_the_other_study_does_later_changes_no_decision(store, monkeypatch) -> None:
    monkeypatch.setattr("growlab.preparation.replaying._measure", lambda *_: measure)
    store.create_study(study_named("first", 12))
    work(store, "first", 12)
    heard = []

    store.create_study(with_transferred(store, study_named("second", 10, transfer_from="first"), heard.append))
    work(store, "second", 6)
    store.set_n_trials("first", 14)
    work(store, "first", 2)
    store.delete_study("first")
    store.set_n_trials("second", 12)
    work(store, "second", 4)

    assert heard == ["12 trials of 'first' are kept with study 'second', which begins with what they say"]
    study = store.study("second").study
    assert [trial.number for trial in study.sampler.transferred.trials] == list(range(12))
    assert all(each == study for each in [*store.revisions(store.study("second").id)][1:])
    assert replayed(store, "second").deviations == []
    assert "model" in {store.decision(trial.id).origin for trial in store.trials(store.study("second").id)}


def test_a_study_that_is_not_there_is_named_with_those_that_are(store) -> None:
    store.create_study(study_named("first", 12))

    with pytest.raises(NotFound, match=r"sampler.transfer_from: no study 'frist'; known: first. Did you mean 'first'"):
        with_transferred(store, study_named("second", 10, transfer_from="frist"), print)


def test_a_study_that_is_not_over_lends_nothing_yet(store) -> None:
    store.create_study(study_named("first", 12))
    work(store, "first", 5)

    with pytest.raises(
        UsageError, match=r"study 'first' must be over.*5 of its 12 trials have ended.*set first n_trials=5"
    ):
        with_transferred(store, study_named("second", 10, transfer_from="first"), print)

    store.set_n_trials("first", 5)
    assert (
        len(with_transferred(store, study_named("second", 10, transfer_from="first"), print).sampler.transferred.trials)
        == 5
    )


def test_a_study_in_which_too_little_completed_lends_nothing(store) -> None:
    store.create_study(study_named("first", 6))
    work(store, "first", 3)
    work(store, "first", 3, TrialState.DIVERGED)

    with pytest.raises(UsageError, match=r"study 'first' must have at least 4 completed trials.*got 3; leave it out"):
        with_transferred(store, study_named("second", 10, transfer_from="first"), print)
