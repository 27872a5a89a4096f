"""Batches made ahead by another thread are those that are made on demand. The CPU stands for the device."""

import gc
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from growlab.data.corpus import Corpus
from growlab.specs import TrialSpec
from growlab.training.feed import HostFeed, PrefetchingFeed
from growlab.training.run import TrialRun, fresh_run

CPU = torch.device("cpu")
MakeSpec = Callable[..., TrialSpec]


@pytest.fixture
def pinned_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that asked for pinned memory, which there is none of without a GPU."""
    threads: list[str] = []

    def as_it_is(tensor: Tensor) -> Tensor:
        threads.append(threading.current_thread().name)
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", as_it_is)
    return threads


def prefetching(spec: TrialSpec, corpus: Corpus) -> TrialRun:
    run = fresh_run(spec, corpus, CPU)
    run.feed = PrefetchingFeed(corpus.train, spec.train, spec.seed, CPU)
    return run


def makers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("batches")}


def test_a_batch_made_ahead_is_that_of_its_step_also_after_a_jump(
    make_spec: MakeSpec, corpus: Corpus, pinned_by: list[str]
) -> None:
    spec = make_spec()
    ahead = PrefetchingFeed(corpus.train, spec.train, spec.seed, CPU)
    on_demand = HostFeed(corpus.train, spec.train, spec.seed, CPU)

    for step in (0, 1, 2, 7, 8, 8, 3):
        for made, expected in zip(ahead.inputs(step), on_demand.inputs(step), strict=True):
            assert torch.equal(made, expected)


def test_the_thread_that_makes_batches_never_calls_cuda_which_a_recording_would_not_survive(
    make_spec: MakeSpec, corpus: Corpus, pinned_by: list[str]
) -> None:
    run = prefetching(make_spec(), corpus)

    for _ in range(3):
        run.train_step()

    assert set(pinned_by) == {threading.current_thread().name}


def test_the_thread_of_a_run_that_is_dropped_ends(make_spec: MakeSpec, corpus: Corpus, pinned_by: list[str]) -> None:
    of_others = makers()
    run = prefetching(make_spec(), corpus)
    run.train_step()
    (maker,) = makers() - of_others

    del run
    gc.collect()  # a run and its engine hold each other; a trainer collects after every trial

    maker.join(10)
    assert not maker.is_alive()
