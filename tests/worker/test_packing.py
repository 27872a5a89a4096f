"""Slots are counted by measured rates; the measurement trains for real, in processes of its own."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from growlab.proposal import Proposal
from growlab.records import Decision, TrialState
from growlab.specs import TrialSpec
from growlab.storage import Store
from growlab.study import Study
from growlab.worker.packing import (
    Bench,
    Failed,
    Measured,
    Probe,
    Warm,
    _heard,
    choose_slots,
    measure,
    next_spec,
    run_probe,
)

Rates = dict[int, float | None]


@pytest.mark.parametrize(
    ("rates", "most", "expected"),
    [
        ({1: 301.0, 2: 405.0, 4: 410.0}, 8, 2),  # saturated at two
        ({1: 100.0, 2: 200.0, 4: 400.0, 8: 800.0}, 8, 8),  # the device was idle
        ({1: 100.0, 2: 110.0, 4: 120.9}, 8, 2),  # exactly a tenth is enough, less is not
        ({1: 100.0, 2: 60.0}, 8, 1),  # they stand in one another's way
        ({1: 100.0, 2: 180.0, 4: None}, 8, 2),  # four do not fit
        ({1: None}, 8, 1),
        ({1: 100.0}, 1, 1),
        ({1: 100.0, 2: 200.0, 3: 300.0}, 3, 3),  # three trials are left
    ],
)
def test_slots_double_while_the_device_does_a_tenth_more(rates: Rates, most: int, expected: int) -> None:
    asked: list[int] = []

    def rate_of(n: int) -> float | None:
        asked.append(n)
        return rates[n]

    assert choose_slots(rate_of, most) == expected
    assert asked == list(rates)  # and nothing beyond what ends it


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_trials_side_by_side_are_measured_in_processes_that_end(probe: Probe, n: int) -> None:
    found = measure(probe, n)

    assert isinstance(found, Measured), found
    assert found.steps_per_s > 0
    assert (found.peak, found.free) == (0, 0)  # a CPU does not say
    assert not torch.multiprocessing.active_children()


@pytest.mark.usefixtures("forked")
def test_a_trial_that_does_not_run_is_one_that_does_not_fit(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nosuchmodule\n")
    bench = Bench(Probe(spec=probe.spec, device="cpu", n_threads=1, plugins=(tmp_path / "broken.py",)))

    assert choose_slots(bench.rate_of, most=8) == 1

    assert "nosuchmodule" in bench.summary()


def test_more_than_the_free_memory_is_not_even_tried(probe: Probe) -> None:
    bench = Bench(probe)
    bench.found[1] = Measured(steps_per_s=100, peak=6 << 30, free=10 << 30)

    assert bench.rate_of(2) is None

    assert bench.summary() == "1 slot: 100 steps/s, 2: no room, 12.0 GiB in 10.0 GiB"


def test_the_words_say_what_was_measured(probe: Probe) -> None:
    bench = Bench(probe)
    bench.found = {
        1: Measured(steps_per_s=301.4, peak=0, free=0),
        2: Measured(steps_per_s=405.2, peak=0, free=0),
        4: Failed("out of memory"),
    }

    assert bench.summary() == "1 slot: 301 steps/s, 2: 405, 4: out of memory"


def test_the_trial_that_is_measured_is_the_next_one_and_stays_unbegun(
    store: Store, study: Study, make_spec: Callable[..., TrialSpec]
) -> None:
    row = store.study(study.name)

    proposal = next_spec(store, row, [])
    queued = make_spec(proposal)
    nothing = store.counts(row.id)
    by_hand = Decision(number=0, seed=1, origin="given", parent=None, mutation="", finished=(), running=())
    store.enqueue(row.id, Proposal(spec=queued, layout=queued.layout, depth=2, params={}, decision=by_hand))

    assert sum(nothing.values()) == 0
    assert next_spec(store, row, []) == queued != proposal
    assert store.counts(row.id)[TrialState.QUEUED] == 1
    worker = store.register_worker(name="other", device="cpu", versions={})
    assert store.claim_next(row.id, worker, lease_s=60) is not None
    assert next_spec(store, row, []) is None  # all have begun


# ---- one process of several --------------------------------------------------------------------------------------


def test_a_process_that_says_nothing_in_time_or_dies_has_failed() -> None:
    ours, theirs = multiprocessing.Pipe()

    silent = _heard(ours, deadline=time.monotonic())
    theirs.close()
    dead = _heard(ours, deadline=time.monotonic() + 60)

    assert (silent, dead) == (Failed("not done after 120 s"), Failed("a process died"))


@pytest.mark.usefixtures("process_as_it_was")
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (ValueError("no such text\nnor folder"), "no such text"),
        (KeyError(), "KeyError()"),
    ],
)
def test_a_process_that_cannot_train_says_why_in_a_line(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("growlab.training.run.fresh_run", fail)
    ours, theirs = multiprocessing.Pipe()

    run_probe(probe, theirs)

    assert ours.recv() == Failed(why)


@pytest.mark.usefixtures("process_as_it_was")
def test_a_process_that_is_warm_trains_when_all_are_and_leaves_when_nobody_waits(probe: Probe) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.send(None)

    run_probe(probe, theirs)
    warm, rate = ours.recv(), ours.recv()
    ours.close()
    run_probe(probe, theirs)

    assert warm == Warm(peak=0, free=0)
    assert rate > 0
