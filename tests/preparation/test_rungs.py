"""A stored study with rungs: what is left of it, what its decisions are when they are made again, who builds on it."""

from dataclasses import replace
from random import Random

import pytest

from growlab.errors import NotFound, UsageError
from growlab.export.ranking import best_trials
from growlab.kinds import KINDS
from growlab.preparation.confirming import find_or_confirm
from growlab.preparation.remaining import n_unfinished
from growlab.preparation.replaying import replay_study
from growlab.preparation.transferring import with_transferred
from growlab.records import ADDED, Artifact, RungReading, TrialResult, TrialState
from growlab.search import Done, New, Promote, decide, propose
from growlab.storage import Database, Store
from growlab.study.reading import study_from_mapping

PAUSED = TrialState.PAUSED
BUDGET = 900


def study_named(name="nightly", n_trials=9, sampler="random", **changes):
    return study_from_mapping(
        {
            "name": name,
            "n_trials": n_trials,
            "layouts": {"d_model": [16, 32], "depth": [1, 4], "blocks": {"attn": {"n_heads": [1, 2]}, "mlp": {}}},
            "budget": {"flops": BUDGET},
            "train": {"lr": "search"},
            "rungs": True,
            "sampler": sampler,
            **changes,
        }
    )


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path / 'growlab.db'}", create=True) as store:
        yield store


@pytest.fixture
def server_store(new_postgres_database):
    with Store.open(new_postgres_database(), create=True) as store:
        yield store


def measure(layout):
    return len(str(layout))


class Workers:
    """Interleaved workers that decide, claim and end trials, which are not trained: a value for each trial and rung."""

    def __init__(self, store, name, n=3, seed=0):
        self.store, self.row, self.n, self.rng = store, store.study(name), n, Random(seed)
        self.worker_id = store.register_worker(name="w", device="cpu", versions={})
        self.held = []

    def decide(self):
        row = self.row = self.store.study(self.row.study.name)
        return decide(row.study, self.store.past_trials(row.id, "val_loss"), KINDS, measure)

    def serve(self, n_ends=10**6):
        """Until nothing is wanted, or so many trials have ended or come to a rung."""
        while n_ends and not isinstance(found := self.decide(), Done):
            match found:
                case New(proposal):
                    self.store.enqueue(self.row.id, proposal, revision=self.row.revision)
                case Promote(promotion):
                    assert self.store.promote(self.row.id, promotion, revision=self.row.revision)
            if claim := self.store.claim_next(self.row.id, self.worker_id, lease_s=60):
                self.held.append(claim)
            if len(self.held) == self.n or claim is None:
                self.end(self.held.pop(self.rng.randrange(len(self.held))))
                n_ends -= 1

    def end(self, claim):
        rungs, rung = self.row.study.rungs, claim.ladder.may_pass
        value = 1 + len(claim.layout) / 50 + abs(claim.spec.train.lr - 1e-3) - rung / 10
        if rung == len(rungs.shares):
            self.store.finish(claim, result(claim, value), [], [])
            return
        mark = rungs.marks(BUDGET)[rung]
        reading = RungReading(
            rung=rung, step=mark, mark=mark, flops=mark, val_loss=value, bits_per_byte=None, slope=None, extra_flops=1
        )
        self.store.pause(claim, [reading], Artifact(kind="checkpoint", step=mark, path="c", sha256="0", n_bytes=1))


def result(claim, value):
    return TrialResult(
        state=TrialState.COMPLETED,
        layout_end=claim.layout,
        depth_end=2,
        n_params=1,
        val_loss=value,
        best_val_loss=value,
        bits_per_byte=value,
        flops=BUDGET,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )


@pytest.fixture
def measured(monkeypatch):
    """Parameters counted as the workers count them; the study has no text."""
    monkeypatch.setattr("growlab.preparation.replaying._measure", lambda *places: measure)


def replay(store, name="nightly"):
    places = {"paths": (), "storage": store.url, "plugins": (), "tell": print}
    return replay_study(store, store.study(name), **places)


# ---- what is left ----------------------------------------------------------------------------------------------------


def test_a_study_is_finished_when_nothing_is_proposed_trained_or_promoted_any_more(store):
    store.create_study(study_named(n_trials=6))
    workers, seen = Workers(store, "nightly"), []
    while not isinstance(workers.decide(), Done):
        seen.append(n_unfinished(store, workers.row))
        workers.serve(n_ends=1)

    counts = store.counts(workers.row.id)
    assert min(seen) >= 1
    assert n_unfinished(store, workers.row) == 0
    assert counts[PAUSED] > 0
    assert counts[TrialState.COMPLETED] > 0
    assert counts[PAUSED] + counts[TrialState.COMPLETED] == 6


def test_more_trials_leave_something_to_do_again(store):
    store.create_study(study_named(n_trials=3))
    Workers(store, "nightly").serve()
    finished = n_unfinished(store, store.study("nightly"))

    store.set_n_trials("nightly", 5)

    assert (finished, n_unfinished(store, store.study("nightly"))) == (0, 2)


def test_of_a_study_that_is_over_what_waits_is_not_left(store):
    store.create_study(study_named())
    workers = Workers(store, "nightly")
    workers.serve(n_ends=2)
    for claim in workers.held:
        workers.end(claim)

    store.change_study("nightly", {"budget": {"flops": BUDGET, "study": {"gpu_hours": 1e-12}}})

    assert n_unfinished(store, store.study("nightly")) == 0


def test_a_study_of_which_none_completed_is_told_as_unfinished_until_it_is_done(store):
    store.create_study(study_named(n_trials=1))
    workers = Workers(store, "nightly")
    workers.serve(n_ends=1)

    assert store.counts(workers.row.id)[PAUSED] == 1
    with pytest.raises(NotFound, match=r"has no completed trial yet \(1 paused\)"):
        best_trials(store, workers.row)


# ---- who builds on it --------------------------------------------------------------------------------------------


def test_winners_are_confirmed_to_the_end_of_their_budget(store):
    store.create_study(study_named())
    Workers(store, "nightly").serve()

    confirming = find_or_confirm(store, store.study("nightly"), 1, 2, print)

    assert confirming.study.rungs is None
    claim = store.claim_next(confirming.id, store.register_worker(name="w", device="cpu", versions={}), lease_s=60)
    assert claim.ladder is None


def test_a_search_learns_from_one_that_is_done_though_trials_wait_in_it(store):
    store.create_study(study_named(n_trials=10, rungs={"first": 0.5, "factor": 2}))
    workers = Workers(store, "nightly")
    follower = study_named("next", sampler={"name": "model", "transfer_from": "nightly"})

    workers.serve(n_ends=10)
    with pytest.raises(UsageError, match="must be over"):
        with_transferred(store, follower, print)
    workers.serve()
    taken = with_transferred(store, follower, print)

    assert store.counts(workers.row.id)[PAUSED] > 0
    assert {trial.state for trial in taken.sampler.transferred.trials} == {TrialState.COMPLETED}


# ---- decisions made again ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("kind", "sampler"), [("store", {"name": "model", "startup_trials": 3}), ("server_store", "random")]
)
def test_every_promotion_is_made_again_whatever_has_happened_since(request, kind, sampler):
    store = request.getfixturevalue(kind)
    store.create_study(study_named(sampler=sampler))
    Workers(store, "nightly").serve()

    found = replay(store)

    n = len(store.all_promotions(store.study("nightly").id))
    assert found.deviations == []
    assert (found.n_proposals, found.n_promotions) == (9, n)
    assert n >= 4
    assert found.summary == f"9 of 9 proposals, and {n} of {n} promotions made again, byte for byte"


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("how", ["set", "added"])
def test_a_promotion_is_made_again_by_the_study_as_it_was_asked(store, how):
    """All had been proposed then, so that a share was rounded up."""
    store.create_study(study_named(n_trials=2))
    workers = Workers(store, "nightly")
    workers.serve()
    if how == "set":
        store.set_n_trials("nightly", 6)
    else:
        made = propose(workers.row.study, store.past_trials(workers.row.id, "val_loss"), 2, KINDS, measure)
        by_hand = replace(made, decision=replace(made.decision, origin=ADDED))
        assert store.add_trials(workers.row.id, [by_hand], takes_places=False) == 3
    workers.serve()

    assert replay(store).deviations == []


@pytest.mark.usefixtures("measured")
def test_a_promotion_that_comes_out_otherwise_is_told_with_its_rung(store):
    store.create_study(study_named())
    Workers(store, "nightly").serve()
    with Database.open(store.url) as database:
        database.write(lambda c: c.exec_driver_sql("UPDATE gl_promotions SET climbs = '[]' WHERE rung = 1"))

    found = replay(store)

    [first, *_] = found.deviations
    assert {deviation.rung for deviation in found.deviations} == {1}
    assert first.line == f"trial {first.trial} at rung 2: promoted is True there, False again"
    assert f"{found.n_promotions - len(found.deviations)} of {found.n_promotions} promotions" in found.summary
