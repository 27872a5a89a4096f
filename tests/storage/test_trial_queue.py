"""Proposals and claims: each number is made once, each trial is handed out once, in order."""

import json
import pickle
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Barrier

import pytest

from growlab.errors import NotFound
from growlab.named import Named
from growlab.records import TrialState
from growlab.storage import Store
from growlab.study.column import trial_spec_to_mapping


def test_a_proposal_is_queued_with_the_decision_that_made_it(lab):
    assert lab.enqueue(0) == [True]

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.layout, trial.depth_start, trial.epoch) == (TrialState.QUEUED, "d=8 attn mlp", 2, 0)
    assert trial.params == {"train.lr": 1e-3}
    assert lab.store.decision(trial.id) == lab.decision(0)


def test_a_number_that_is_taken_is_not_queued_again(lab):
    assert lab.enqueue(0, 0) == [True, False]

    assert lab.count("gl_trials") == 1
    assert lab.count("gl_decisions") == 1


def test_a_claim_says_which_metrics_the_study_wants_of_a_trial_that_completed(lab):
    wanted = ["bits_per_byte", "params", "state_size", "decode_tokens_per_s", "train_tokens_per_s"]
    sections = [{"metric": name, "direction": "minimise"} for name in ("val_loss", *wanted[:3])]
    sections[3]["seq_len"] = 8
    lab.enqueue(0, 1)
    before = lab.claim(lab.worker())
    bounds = {name: {"at_least": 1} for name in wanted[3:]}
    lab.store.change_study("nightly", {"objective": None, "objectives": sections, "constraints": bounds})

    claim = lab.claim(lab.worker())

    assert before.asked == ()
    assert claim.asked == (Named(name="state_size", options={"seq_len": 8}), Named(name="decode_tokens_per_s"))


def test_trials_are_added_behind_those_that_were_read_or_not_at_all(lab):
    first, second = ([lab.proposal(number) for number in range(n)] for n in (2, 3))

    assert lab.store.enqueue_next(lab.study_id, first)
    assert not lab.store.enqueue_next(lab.study_id, second)  # of somebody who had read no trial
    assert [trial.number for trial in lab.store.trials(lab.study_id)] == [0, 1]
    assert lab.store.n_trials(lab.study_id) == 2
    assert lab.store.enqueue_next(lab.study_id, second[2:])
    assert lab.store.n_trials(lab.study_id) == 3


def test_nothing_can_be_queued_in_a_deleted_study(lab):
    lab.store.delete_study("nightly")

    with pytest.raises(NotFound, match="the study was deleted"):
        lab.enqueue(0)


def test_many_proposers_make_exactly_n_trials(storage_url, new_lab):
    lab = new_lab(storage_url, n_trials=24)
    start = Barrier(6)

    def propose(_proposer):
        store = Store.open(storage_url)
        start.wait()
        made = lab.enqueue(*range(30), store=store)
        store.close()
        return made.count(True)

    with ThreadPoolExecutor(6) as pool:
        made = sum(pool.map(propose, range(6)))

    assert made == 24
    assert [trial.number for trial in lab.store.trials(lab.study_id)] == list(range(24))


def test_many_claimers_get_each_trial_once(storage_url, new_lab):
    lab = new_lab(storage_url, n_trials=40)
    lab.enqueue(*range(40))
    workers = [lab.worker(f"gpu{at}") for at in range(8)]
    start = Barrier(8)

    def claim_all(worker_id):
        store = Store.open(storage_url)
        start.wait()
        numbers = []
        while claim := store.claim_next(lab.study_id, worker_id, lease_s=60):
            numbers.append(claim.number)
        store.close()
        return numbers

    with ThreadPoolExecutor(8) as pool:
        by_worker = list(pool.map(claim_all, workers))

    assert Counter(chain(*by_worker)) == Counter(range(40))
    assert all(numbers == sorted(numbers) for numbers in by_worker)


def test_a_claim_carries_all_that_a_run_needs(lab):
    lab.enqueue(0)
    began = time.monotonic()

    claim = lab.claim(lab.worker(), lease_s=45)

    trial = lab.store.trial(lab.study_id, 0)
    assert (claim.trial_id, claim.number, claim.epoch, claim.study_id) == (trial.id, 0, 1, lab.study_id)
    assert (claim.spec, claim.layout, claim.lease_s, claim.checkpoint) == (trial.spec, "d=8 attn mlp", 45, None)
    assert trial.state is TrialState.RUNNING
    assert lab.has_lease_of(45, since=began)


def test_a_claim_travels_to_the_process_that_trains(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())

    assert pickle.loads(pickle.dumps(claim)) == claim


def test_a_claim_stays_within_its_study(lab):
    other = lab.add_study("other")
    lab.enqueue(0)

    assert lab.store.claim_next(other, lab.worker(), lease_s=60) is None


def test_a_claim_walks_only_open_trials(new_lab, storage_url):
    """However long a study's past is: the plan uses the index that holds nothing else."""
    lab = new_lab(storage_url)
    free = "state IN ('queued', 'running') AND (lease_expires_at IS NULL OR lease_expires_at < 9)"
    claim = f"SELECT id FROM gl_trials WHERE study_id = 1 AND {free} ORDER BY number LIMIT 1"

    def plan(connection):
        if connection.dialect.name == "sqlite":
            return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {claim}").all()
        for way in ("seqscan", "bitmapscan"):  # which are quicker for a table of a few rows
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        return connection.exec_driver_sql(f"EXPLAIN {claim}").all()

    assert re.search(r"(?i)using (index )?ix_gl_trials_open\b", str(lab.database.read(plan)))


DAMAGED = {
    "{}": "data",
    "[]": "",
    "null": "",
    "{": "no JSON",
    '{"layout": 5}': "missing",
}


@pytest.mark.parametrize(("words", "reason"), DAMAGED.items())
def test_a_trial_whose_row_cannot_be_read_is_failed_in_words_and_the_next_one_is_claimed(lab, words, reason):
    if words == "{" and lab.url.startswith("postgresql"):
        pytest.skip("PostgreSQL keeps no text that is no JSON in such a column")
    lab.enqueue(0, 1)
    lab.overwrite("spec", words)

    claim = lab.claim(lab.worker())

    assert claim.number == 1
    [(state, error)] = lab.sql("SELECT state, error FROM gl_trials WHERE number = 0")
    assert state == "failed"
    assert error.startswith("its row in the database cannot be read: ")
    assert reason in error


def test_a_trial_whose_layout_cannot_be_parsed_is_failed_too(lab, make_spec):
    lab.enqueue(0)
    lab.overwrite("spec", json.dumps(trial_spec_to_mapping(make_spec()) | {"layout": "d=8 mlp["}))

    assert lab.claim(lab.worker()) is None

    assert lab.state() is TrialState.FAILED


def test_a_search_goes_on_over_damaged_rows_and_counts_them(lab):
    lab.enqueue(0, 1)
    lab.overwrite("spec", "[]")
    lab.overwrite("params", "null")

    damaged, sound = lab.store.past_trials(lab.study_id, "val_loss")

    assert (damaged.number, damaged.layout, damaged.params) == (0, "", {})
    assert (sound.number, sound.params) == (1, {"train.lr": 1e-3})
