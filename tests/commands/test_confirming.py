"""growlab study confirm: which trials come again, on which seeds, and what is said of them in the end.

Workers are played: they claim what is in the queue and give it a loss.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlab.kinds import KINDS
from growlab.preparation.confirming import fresh_seeds
from growlab.records import TrialResult, TrialState
from growlab.running.crew import Crew
from growlab.running.work import Follower
from growlab.search import preview
from growlab.storage import Store, StudyRow
from growlab.study.reading import study_from_mapping

STORAGE = "sqlite:///growlab.db"
CLAIMED = (2.5, 1.5, 1.25, 2.0)

Loss = Callable[[Any], float | None]


def result(loss: float | None) -> TrialResult:
    return TrialResult(
        state=TrialState.DIVERGED if loss is None else TrialState.COMPLETED,
        layout_end="",
        depth_end=2,
        n_params=1,
        val_loss=loss,
        best_val_loss=loss,
        bits_per_byte=loss,
        flops=1,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )


def work_off(store: Store, study: str, loss: Loss, most: int = 1000) -> None:
    """Train what is in the queue, as workers do."""
    study_id, worker_id = store.study(study).id, store.register_worker(name="here", device="cpu", versions={})
    for _ in range(most):
        claim = store.claim_next(study_id, worker_id, lease_s=60)
        if claim is None:
            return
        store.finish(claim, result(loss(claim)), [], [])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A search that is over: four trials, the third one best."""
    monkeypatch.chdir(tmp_path)
    study = study_from_mapping(
        {
            "name": "s",
            "n_trials": 4,
            "data": {"source": "stdlib"},
            "layouts": {"blocks": ["attn", "mlp"], "d_model": 16, "depth": [2, 2]},
            "train": {"lr": "search"},
            "budget": {"steps": 1},
        }
    )
    with closing(Store.open(STORAGE, create=True)) as store:
        store.create_study(study, preview(study, KINDS, lambda layout: 0, n=4))
        work_off(store, "s", lambda claim: CLAIMED[claim.number])
        yield store


@pytest.fixture
def at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What workers make of the queue: `loss` of a claim, `most` trials before they are stopped."""
    asked: dict[str, Any] = {"loss": lambda claim: 1.75 + 0.001 * (claim.number % 2), "most": 1000, "again": []}

    def work(store: Store, row: StudyRow, crew: Crew, *, again: str, follower: Follower) -> None:
        asked["again"].append(again)
        work_off(store, row.study.name, asked["loss"], asked["most"])
        if asked["most"] < 1000:
            raise KeyboardInterrupt

    monkeypatch.setattr("growlab.running.study_run.work", work)
    return asked


def test_the_best_trials_come_again_all_on_the_same_fresh_seeds(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    outcome = command_line("study", "confirm", "s", "--top", "2", "--seeds", "3")

    row = store.study("s-confirm")
    searched, again = store.trials(store.study("s").id), store.trials(row.id)
    seeds = [trial.spec.seed for trial in again]
    assert outcome.code == 0, outcome.err
    assert row.study.n_trials == len(again) == 6
    assert [store.decision(trial.id).parent for trial in again] == [2, 2, 2, 1, 1, 1]
    assert {store.decision(trial.id).origin for trial in again} == {"given"}
    assert [replace(trial.spec, seed=0) for trial in again[::3]] == [
        replace(searched[number].spec, seed=0) for number in (2, 1)
    ]
    assert seeds[:3] == seeds[3:]
    assert not set(seeds) & {trial.spec.seed for trial in searched}


def test_the_ranking_is_by_the_mean_with_what_was_claimed_beside_it(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    """The third trial's luck is gone: of the two the other one is better."""
    at_work["loss"] = lambda claim: (1.9 if claim.number < 2 else 1.6) + 0.01 * (claim.number % 2)

    words = ("study", "confirm", "s", "--top", "2", "--seeds", "2")
    shown = json.loads(command_line(*words, "--json").out)
    piped = command_line(*words)

    first, second = shown
    assert (first["trial"], first["claimed"], first["claimed_rank"]) == (1, 1.5, 2)
    assert (first["mean"], first["n"], first["n_lost"]) == (pytest.approx(1.605), 2, 0)
    assert second["curse"] == pytest.approx(1.905 - 1.25)
    assert first["text"] == "the search claimed 1.5000; 2 fresh seeds say 1.6050 ± 0.0635"
    assert "best by val_loss: trial 1 of s: the search claimed 1.5000; 2 fresh seeds say 1.6050 ± 0.0635" in piped.err
    assert (
        "the winner's curse: the search had flattered the 2 trial(s) that it chose by 0.3800 on average; "
        "its first, trial 2, is number 2 now"
    ) in piped.err
    assert [line["trial"] for line in csv.DictReader(io.StringIO(piped.out), delimiter="\t")] == ["1", "2"]
    assert len(at_work["again"]) == 1  # the second call found all of it done


def test_what_was_stopped_is_gone_on_with(store: Store, at_work: dict[str, Any], command_line: Callable) -> None:
    at_work["most"] = 1
    stopped = command_line("study", "confirm", "s", "--top", "2", "--seeds", "2", "--threads", "1")
    seeds = [trial.spec.seed for trial in store.trials(store.study("s-confirm").id)]

    at_work["most"] = 1000
    finished = command_line("study", "confirm", "s", "--top", "2", "--seeds", "2")

    assert (stopped.code, stopped.out) == (130, "")
    assert at_work["again"][0] == "growlab study confirm s --top 2 --seeds 2 --threads 1"
    assert finished.code == 0, finished.err
    assert [trial.spec.seed for trial in store.trials(store.study("s-confirm").id)] == seeds


def test_a_winner_that_diverges_on_a_fresh_seed_stands_below_all_that_did_not(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    at_work["loss"] = lambda claim: None if claim.number == 0 else 1.0 if claim.number < 2 else 2.0

    outcome = command_line("study", "confirm", "s", "--top", "2", "--seeds", "2", "--json")

    assert [(row["trial"], row["n_lost"]) for row in json.loads(outcome.out)] == [(1, 0), (2, 1)]
    assert "trial 2 ended without a result on 1 of 2 fresh seeds" in outcome.err


def test_no_sampler_ever_adds_a_trial(store: Store, at_work: dict[str, Any], command_line: Callable) -> None:
    command_line("study", "confirm", "s", "--top", "1", "--seeds", "2")
    row = store.study("s-confirm")
    [proposal, *_] = preview(row.study, KINDS, lambda layout: 0, n=1)

    refused = command_line("study", "set", "s-confirm", "n_trials=9")
    again = command_line("study", "run", "s-confirm")

    assert not store.enqueue(row.id, replace(proposal, decision=replace(proposal.decision, number=2)))
    assert refused.code == 2
    assert "holds the winners of a search, on fresh seeds, and nothing else" in refused.err
    assert "n_trials=" not in again.err
    assert len(store.trials(row.id)) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--top", "3", "--seeds", "2"), "confirms 2 trial(s) on 2 seed(s), not 3 on 2; go on with --top 2 --seeds 2"),
        (("--top", "2", "--seeds", "3"), "confirms 2 trial(s) on 2 seed(s), not 2 on 3"),
    ],
)
def test_another_number_of_winners_or_seeds_is_refused(
    store: Store, at_work: dict[str, Any], command_line: Callable, words: tuple[str, ...], message: str
) -> None:
    command_line("study", "confirm", "s", "--top", "2", "--seeds", "2")

    outcome = command_line("study", "confirm", "s", *words)

    assert outcome.code == 2
    assert message in outcome.err


def test_a_study_of_that_name_that_confirms_nothing_is_left_alone(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    study = store.study("s").study
    other = replace(study, name="s-confirm", n_trials=1)
    store.create_study(other, preview(other, KINDS, lambda layout: 0, n=1))

    outcome = command_line("study", "confirm", "s")

    assert outcome.code == 2
    assert "study 's-confirm' exists and does not confirm trials of 's'" in outcome.err


def test_a_study_of_which_nothing_completed_has_nothing_to_confirm(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    study = replace(store.study("s").study, name="new")
    store.create_study(study)

    outcome = command_line("study", "confirm", "new")

    assert outcome.code == 1
    assert "study 'new' has no completed trial to confirm yet" in outcome.err


def test_trials_that_differ_in_the_seed_alone_are_one_winner_with_the_mean_as_its_claim(
    store: Store, at_work: dict[str, Any], command_line: Callable
) -> None:
    study = replace(store.study("s").study, name="repeated", n_trials=4)
    first, second = preview(study, KINDS, lambda layout: 0, n=2)
    given = [
        replace(of, spec=replace(of.spec, seed=repeat), decision=replace(of.decision, number=at * 2 + repeat))
        for at, of in enumerate((first, second))
        for repeat in range(2)
    ]
    store.create_study(study, given)
    work_off(store, "repeated", lambda claim: (1.0, 3.0, 1.5, 1.6)[claim.number])

    outcome = command_line("study", "confirm", "repeated", "--seeds", "1", "--json")

    claims = {row["trial"]: (row["claimed"], row["claimed_rank"]) for row in json.loads(outcome.out)}
    assert claims == {2: (pytest.approx(1.55), 1), 0: (2.0, 2)}
    assert "has 2 different trial(s) that completed; all of them are confirmed" in outcome.err


def test_fresh_seeds_are_the_same_each_time_and_none_that_the_search_saw() -> None:
    first = fresh_seeds(3, 4, [])

    assert fresh_seeds(3, 4, [first[1]]) == [first[0], *first[2:], fresh_seeds(3, 5, [])[4]]
    assert len(set(first)) == 4
