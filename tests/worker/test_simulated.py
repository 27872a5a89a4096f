"""A live study, and the same one simulated on the table of its trainings: the same decisions, in the same order."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from growlab.data import load_corpus
from growlab.preparation.checking import prepare
from growlab.preparation.replaying import replay_study
from growlab.proposal import Proposal
from growlab.records import Promotion
from growlab.report.trainings import write_trainings
from growlab.search import New, Promote
from growlab.search.replay import as_mapping
from growlab.simulate.conditions import Conditions
from growlab.simulate.run import simulate
from growlab.simulate.table import Table
from growlab.simulate.table_file import read_table
from growlab.storage import Store, StudyRow
from growlab.study import Study
from growlab.study.file import read_study_file
from growlab.worker.messages import NoneWanted, Propose, Train

STUDY = """
name: tiny
data: {path: corpus.txt, val_fraction: 0.1}
layouts: {blocks: {conv: {kernel: [2, 3]}, mlp: {}}, d_model: 16, depth: [1, 2]}
train: {batch_size: 4, seq_len: 16, eval_every: 4, lr: {low: 1e-3, high: 3e-1, log: true}}
"""
STUDIES = {
    "model": "n_trials: 8\nbudget: {steps: 3}\nsampler: {name: model, startup_trials: 4}",
    "rungs": "n_trials: 5\nbudget: {flops: 4e7}\nrungs: {first: 0.25, factor: 2}\nsampler: evolution",
    "stop": "n_trials: 5\nbudget: {flops: 1e7}\nstop: {median: {first: 0.3, min_trials: 1}}\nsampler: evolution",
}


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("growlab.training.sample.LENGTH", 8)
    (tmp_path / "corpus.txt").write_text("".join(f"{at} the quick brown fox jumps over the dog\n" for at in range(60)))
    (tmp_path / "tiny.yaml").write_text(STUDY + STUDIES[request.param])
    return prepare(read_study_file(tmp_path / "tiny.yaml"), [], lambda _: None)[0]


@pytest.fixture
def served(store: Store, start: Callable[..., Any]) -> StudyRow:
    """The study, which a real trainer has trained to its end."""
    trainer, row = start(), store.study("tiny")
    worker_id, answer = store.register_worker(name="gpu0", device="cpu", versions={}), None
    while answer != NoneWanted(is_done=True):
        claim = store.claim_next(row.id, worker_id, lease_s=60)
        answer = trainer.answer(Train(claim=claim, folder=f"tiny/{claim.number}") if claim else Propose("tiny"))
    return row


def decisions_of(store: Store, row: StudyRow) -> Iterator[str]:
    """What was decided, as JSON, in its order: a promotion comes after all trials that it saw."""
    promotions = store.all_promotions(row.id)
    for trial in store.trials(row.id):
        while promotions and len(promotions[0].finished) + len(promotions[0].running) <= trial.number:
            yield as_text(promotions.pop(0))
        yield as_text(
            Proposal(
                spec=trial.spec,
                layout=trial.layout,
                depth=trial.depth_start,
                params=trial.params,
                decision=store.decision(trial.id),
            )
        )
    yield from map(as_text, promotions)


def as_text(decided: Proposal | Promotion) -> str:
    return json.dumps(as_mapping(decided) if isinstance(decided, Proposal) else asdict(decided), sort_keys=True)


def test_decisions_are_those_of_the_live_study_byte_for_byte(store: Store, served: StudyRow, tmp_path: Path) -> None:
    n = write_trainings(store, served, tmp_path / "table.tsv")
    table = read_table(tmp_path / "table.tsv", served.study)
    vocab_size, simulated = load_corpus(served.study.data).tokenizer.vocab_size, list[str]()

    def watch(at_s: float, following: object) -> None:
        match following:
            case New(proposal):
                simulated.append(as_text(proposal))
            case Promote(promotion):
                simulated.append(as_text(promotion))

    found = simulate(served.study, Table(served.study, table.trainings), Conditions(n_workers=1), vocab_size, watch)

    assert n == len(found.trials) == served.study.n_trials
    n_stops = len(store.stops(served.id))
    assert found.n_promotions or n_stops or any(trial.origin == "model" for trial in found.trials)
    again = replay_study(store, served, paths=[], storage=store.url, plugins=[], tell=print)
    assert (again.n_stops, again.deviations) == (n_stops, [])
    assert simulated == list(decisions_of(store, served))
    assert found.n_exact == n
    states = {trial.number: (trial.state, trial.val_loss) for trial in store.trials(served.id)}
    assert {trial.number: (trial.state, trial.value) for trial in found.trials} == states
