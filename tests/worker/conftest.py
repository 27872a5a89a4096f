"""A study of one tiny trial in a database of its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from growlab.kinds import KINDS
from growlab.preparation.checking import prepare
from growlab.records import Decision
from growlab.specs import TrialSpec
from growlab.storage import Store
from growlab.study import Study
from growlab.study.file import read_study_file
from growlab.worker.packing import Probe, next_spec

TINY = """
name: tiny
n_trials: 1
data: {path: corpus.txt, val_fraction: 0.1}
layouts: {blocks: {conv: {kernel: 3}, mlp: {}}, d_model: 16, depth: [2, 2]}
train: {batch_size: 4, seq_len: 16}
budget: {steps: 40}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("".join(f"{at} the quick brown fox jumps over the dog\n" for at in range(60)))
    (tmp_path / "tiny.yaml").write_text(TINY)
    return prepare(read_study_file(tmp_path / "tiny.yaml"), [], print)[0]


@pytest.fixture
def store(study: Study) -> Iterator[Store]:
    with Store.open("sqlite:///growlab.db", create=True) as store:
        store.create_study(study)
        yield store


@pytest.fixture
def make_spec() -> Callable[[TrialSpec], TrialSpec]:
    """Another trial than the one given."""
    return lambda spec: replace(spec, seed=spec.seed + 1)


@pytest.fixture
def enqueue(store: Store, study: Study) -> Callable[[], None]:
    """Put trial 0 of the study into the queue."""

    def enqueue() -> None:
        row = store.study(study.name)
        spec = next_spec(store, row, [])
        assert spec is not None
        by_hand = Decision(number=0, seed=1, origin="given", parent=None, mutation="", finished=(), running=())
        store.enqueue(row.id, number=0, spec=spec, layout=spec.layout, depth_start=2, params={}, decision=by_hand)

    return enqueue


@pytest.fixture
def probe(store: Store, study: Study) -> Probe:
    spec = next_spec(store, store.study(study.name), [])
    assert spec is not None
    return Probe(spec=spec, device="cpu", n_threads=1, seconds=0.2)


@pytest.fixture
def kinds_as_they_were() -> Iterator[None]:
    """What a plugin registers in this process is forgotten."""
    before = dict(KINDS)
    yield
    KINDS.reset(before)
