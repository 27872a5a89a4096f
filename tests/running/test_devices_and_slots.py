"""How many workers a device has, and how many threads a worker."""

from pathlib import Path

import pytest
import torch

from growlab import api
from growlab.resources import n_cores
from growlab.running.devices import shared_threads
from growlab.running.slots import slots_for
from growlab.storage import Store
from growlab.worker.packing import Measured

STORAGE = "sqlite:///growlab.db"


def test_cores_are_shared_unless_the_user_has_said_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shared = shared_threads(1), shared_threads(10_000)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    assert (*shared, shared_threads(1)) == (n_cores(), 1, 0)


def test_auto_is_one_slot_on_a_cpu_and_says_why(home: Path) -> None:
    api.create(api.read_study("tiny.yaml"))
    said: list[str] = []

    with Store.open(STORAGE) as store:
        assert slots_for(store, store.study("tiny"), ["cpu"], tell=said.append) == 1

    assert "--slots auto: 1, as the device is cpu, which one trial keeps busy" in said[0]


def test_auto_says_what_it_measured_and_asks_for_no_more_than_the_trials_that_are_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is here; that trials are measured for real is tested with the measurement."""
    said: list[str] = []
    rates = {1: 301.0, 2: 405.0, 3: 700.0}
    monkeypatch.setattr("growlab.training.device.resolve_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(
        "growlab.worker.packing.measure", lambda _, n: Measured(steps_per_s=rates[n], peak=3 << 30, free=8 << 30)
    )
    api.create(api.read_study("tiny.yaml", ["n_trials=3"]))

    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        assert slots_for(store, row, ["cuda"], tell=said.append) == 2
        assert slots_for(store, row, ["cuda:0", "cuda:1", "cuda:2"], tell=said.append) == 1
        assert sum(store.counts(row.id).values()) == 0

    assert "1 slot: 301 steps/s, 2: 405, 3: no room, 9.0 GiB in 8.0 GiB → 2 slots" in said
    assert "--slots auto: 1, as there is no second trial to begin" in said
