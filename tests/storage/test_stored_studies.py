"""Studies: made once, found by name, deleted whole."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from growlab.errors import NotFound, StorageError, UsageError
from growlab.proposal import Proposal
from growlab.records import TrialState
from growlab.storage import tables


def test_a_study_comes_back_as_it_was(lab, make_study):
    study = make_study("other", n_trials=3)
    lab.store.create_study(study)

    row = lab.store.study("other")

    assert row.study == study
    assert row.id != lab.study_id


def test_a_name_is_given_once(lab, make_study):
    with pytest.raises(StorageError, match="study 'nightly' exists already"):
        lab.store.create_study(make_study("nightly", n_trials=99))

    assert lab.store.study("nightly").study.n_trials == 10


def test_a_study_and_the_trials_that_are_given_are_there_at_once_or_not_at_all(lab, make_study, make_spec):
    given = [
        Proposal(spec=make_spec(), layout="d=8 attn mlp", depth=2, params={}, decision=lab.decision(number))
        for number in range(2)
    ]
    lab.store.create_study(make_study("other", n_trials=2), given)

    with pytest.raises(StorageError, match="study 'nightly' exists already"):
        lab.store.create_study(make_study("nightly"), given)

    assert [trial.number for trial in lab.store.trials(lab.store.study("other").id)] == [0, 1]
    assert lab.store.trials(lab.study_id) == []


def test_more_trials_are_added_once_the_study_wants_more(lab):
    before = lab.enqueue(*range(11))
    lab.store.set_n_trials("nightly", 12)

    after = lab.enqueue(10, 11, 12)

    assert before == [True] * 10 + [False]
    assert after == [True, True, False]
    assert lab.store.n_trials(lab.study_id) == lab.store.study("nightly").study.n_trials == 12
    with pytest.raises(UsageError, match="n_trials must be at least 12, as study 'nightly' has so many trials, got 11"):
        lab.store.set_n_trials("nightly", 11)
    with pytest.raises(NotFound, match="no study 'nightli'"):
        lab.store.set_n_trials("nightli", 20)


def test_all_else_of_a_study_stays_as_it_was_stored(lab, make_study):
    study = make_study("other", n_trials=3)
    lab.store.create_study(study)

    lab.store.set_n_trials("other", 5)

    assert lab.store.study("other").study == replace(study, n_trials=5)


def test_an_unknown_study_is_answered_with_the_known_ones(lab):
    lab.add_study("weekly")

    with pytest.raises(NotFound, match=r"^no study 'nightli'; known: nightly, weekly. Did you mean 'nightly'\?$"):
        lab.store.study("nightli")


def test_where_there_is_no_study_it_says_how_to_make_one(lab):
    lab.store.delete_study("nightly")

    with pytest.raises(NotFound, match="no study 'nightly', and none at all here; create one: growlab study create"):
        lab.store.study("nightly")


def test_studies_are_summed_up_with_their_counts_and_best_loss(lab):
    lab.add_study("empty")
    lab.enqueue(0, 1, 2, 3, 4)
    worker = lab.worker()
    for val_loss, state in ((1.5, TrialState.COMPLETED), (1.2, TrialState.COMPLETED), (0.1, TrialState.FAILED)):
        lab.store.finish(lab.claim(worker), lab.result(state, val_loss=val_loss), [], [])
    lab.claim(worker)

    nightly, empty = lab.store.studies()

    assert (nightly.name, nightly.n_trials, nightly.best_val_loss) == ("nightly", 10, 1.2)
    there = {"queued": 1, "running": 1, "completed": 2, "failed": 1}
    assert nightly.counts == dict.fromkeys(TrialState, 0) | there
    assert nightly.counts == lab.store.counts(lab.study_id)
    assert (empty.name, empty.best_val_loss, set(empty.counts.values())) == ("empty", None, {0})


def test_deleting_a_study_deletes_all_of_it_and_nothing_else(lab, point, event, make_reading, make_promotion):
    other = lab.add_study("other")
    for study_id in (lab.study_id, other):
        lab.study_id = study_id
        lab.enqueue(0)
        claim = lab.claim(lab.worker())
        lab.store.pause(claim, [lab.val_loss(1), point, event, make_reading()], lab.checkpoint(1))
        assert lab.store.promote(study_id, make_promotion())

    lab.store.delete_study("nightly")

    # a trial that waits has not been stopped: test_stops has those
    owned = [name for name in tables.metadata.tables if name not in ("gl_workers", "gl_stops")]
    assert {name: lab.count(name) for name in owned} == dict.fromkeys(owned, 1)
    assert lab.store.trial(other, 0).state is TrialState.QUEUED


def test_a_study_is_not_deleted_under_a_running_trial(lab):
    lab.enqueue(0, 1)
    lab.claim(lab.worker())

    with pytest.raises(StorageError, match=r"study 'nightly' has trials that run \(0\); stop its workers"):
        lab.store.delete_study("nightly")

    assert lab.store.study("nightly").id == lab.study_id


def test_a_study_is_deleted_once_its_leases_have_run_out(lab):
    lab.enqueue(0)
    lab.expire(lab.claim(lab.worker()))

    lab.store.delete_study("nightly")

    assert lab.store.studies() == []


@pytest.fixture
def meanwhile(postgres_url):
    """Does something while another session has changed rows and not committed yet; then that session commits."""

    def run(statement, action):
        with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres_url) as other:
            other.execute(statement)
            waiting = pool.submit(action)
            while not other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
                assert not waiting.done(), "it did not wait for the other session"
            other.commit()
            return waiting.result()

    return run


def test_a_study_is_not_deleted_under_a_claim_that_is_being_made(postgres_url, new_lab, meanwhile):
    lab = new_lab(postgres_url)
    lab.enqueue(0)
    claim = "UPDATE gl_trials SET state = 'running', lease_expires_at = extract(epoch FROM clock_timestamp()) + 60"

    with pytest.raises(StorageError, match="study 'nightly' has trials that run"):
        meanwhile(claim, lambda: lab.store.delete_study("nightly"))


def test_a_proposal_that_meets_the_deletion_of_its_study_finds_it_gone(postgres_url, new_lab, meanwhile):
    lab = new_lab(postgres_url)

    with pytest.raises(NotFound, match="the study was deleted"):
        meanwhile("DELETE FROM gl_studies", lambda: lab.enqueue(0))


def test_an_unknown_study_cannot_be_deleted(lab):
    with pytest.raises(NotFound, match="no study 'weekly'"):
        lab.store.delete_study("weekly")
