"""A proposal is made again from what its decision kept: whatever finished since, and in whatever order."""

import heapq
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from forked import printed_elsewhere

from growlab.domains import Choice
from growlab.records import PastTrial, TrialState
from growlab.search import decide
from growlab.search.decide import New
from growlab.search.propose import propose
from growlab.search.replay import as_mapping, propose_again, seen
from growlab.study.reference import search_ranges

N_WORKERS = 8
TRAIN = {"lr": search_ranges()["train.lr"], "batch_size": Choice(values=(16, 32))}
ENDS = (TrialState.DIVERGED, TrialState.FAILED, TrialState.LEAK)


def search(study, kinds, measure, seed=0):
    """A study by asynchronous workers, none of which waits for another; proposals, and the trials as they ended.

    Trials take made-up times and end at made-up values, one in eight without any. A worker that dies leaves its trial
    to be taken again: it runs for longer, and other decisions see it running.
    """
    rng = Random(seed)
    trials: dict[int, PastTrial] = {}
    proposals = []
    free = [(rng.random(), worker, -1) for worker in range(N_WORKERS)]  # when, who, and the trial that ends then
    while free:
        now, worker, ended = heapq.heappop(free)
        if ended >= 0 and rng.random() < 0.05:
            heapq.heappush(free, (now + rng.random(), worker, ended))
            continue
        if ended >= 0:
            trials[ended] = _ended(trials[ended], rng)
        past = list(trials.values())
        rng.shuffle(past)
        match decide(study, past, kinds, measure):
            case New(proposal):
                number = proposal.number
                trials[number] = PastTrial(
                    number=number, state=TrialState.RUNNING, layout=proposal.spec.layout, params=proposal.params
                )
                proposals.append(proposal)
                heapq.heappush(free, (now + rng.expovariate(1.0), worker, number))
    return proposals, trials


def _ended(trial, rng):
    if rng.random() < 1 / 8:
        return replace(trial, state=rng.choice(ENDS))
    lr = trial.params["train.lr"]
    return replace(trial, state=TrialState.COMPLETED, value=2 + len(trial.layout) / 100 + abs(lr - 3e-3) * 50)


def texts(proposals) -> Iterator[str]:
    return (json.dumps(as_mapping(proposal), sort_keys=True) for proposal in proposals)


@pytest.mark.parametrize("n_trials", [40, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sampler", ["model", "evolution"])
def test_a_search_by_eight_workers_is_made_again_byte_for_byte_in_any_order(
    make_study, kinds, measure, sampler, n_trials
):
    study = make_study(train=TRAIN, n_trials=n_trials, sampler=sampler)
    proposals, trials = search(study, kinds, measure)
    order = Random(1).sample(proposals, n_trials)

    again = [propose_again(study, proposal.decision, trials, kinds, measure) for proposal in order]

    assert list(texts(again)) == list(texts(order))
    assert sum(len(proposal.decision.running) == N_WORKERS - 1 for proposal in proposals) > n_trials // 2
    assert {proposal.decision.origin for proposal in proposals} >= {"random", "mutation"}
    assert {trial.state for trial in trials.values()} > {TrialState.COMPLETED, TrialState.FAILED}
    learnt = [proposal for proposal in proposals if proposal.decision.predicted]
    assert bool(learnt) == (sampler == "model")


def test_repeats_and_a_grid_are_made_again_too(make_study, kinds, measure):
    starts = ("d=64 attn mlp", "d=64 conv mlp")
    searched = replace(make_study(train=TRAIN, n_trials=30, startup_trials=2, start_with=starts), repeats=3)
    lr = {**TRAIN, "lr": Choice(values=(1e-3, 1e-2))}
    cells = make_study(train=lr, n_trials=20, start_with=starts, sampler="grid", startup_trials=2)

    for study in (searched, cells):
        proposals, trials = search(study, kinds, measure)
        again = [propose_again(study, proposal.decision, trials, kinds, measure) for proposal in proposals]
        assert list(texts(again)) == list(texts(proposals))


def test_another_process_makes_them_again(make_study, kinds, measure):
    """Kept answers, the order of sets, and what was proposed before play no part."""
    study = make_study(train=TRAIN, n_trials=16, sampler="model", startup_trials=4)
    proposals, trials = search(study, kinds, measure)
    asked = pickle.dumps((study, [proposal.decision for proposal in proposals[::-1]], trials))
    code = (
        "import json, pickle, conftest as c; from growlab.search.replay import propose_again, as_mapping;"
        f"study, decisions, trials = pickle.loads({asked!r});"
        "again = [propose_again(study, each, trials, c.KINDS, c.n_params) for each in decisions];"
        "print(*(json.dumps(as_mapping(each), sort_keys=True) for each in again), sep='\\n')"
    )

    printed = printed_elsewhere(code, Path(__file__).parent)

    assert printed.splitlines() == list(texts(proposals))[::-1]


def test_what_has_finished_since_was_running_then_and_has_no_value(make_study, kinds, measure):
    def trial(number, state=TrialState.COMPLETED, value=1.0):
        return PastTrial(number=number, state=state, layout="d=64 attn mlp", value=value)

    then = [trial(0), trial(1, TrialState.QUEUED, None), trial(2, TrialState.RUNNING, None)]
    decision = propose(make_study(), then, 3, kinds, measure).decision
    now = {at: trial(at) for at in range(5)}

    past = seen(decision, now)

    assert (decision.finished, decision.running) == ((0,), (1, 2))
    assert past == [trial(0), trial(1, TrialState.RUNNING, None), trial(2, TrialState.RUNNING, None)]


def test_whether_a_trial_waits_or_runs_changes_no_proposal(make_study, kinds, measure):
    """A decision does not keep it, so that no sampler may be told."""
    told = []
    study = make_study(train=TRAIN, startup_trials=1, sampler="model")
    for state in (TrialState.QUEUED, TrialState.RUNNING):
        past = [PastTrial(number=0, state=state, layout="d=64 attn mlp", params={"train.lr": 1e-3})]
        told.append(propose(study, past, 1, kinds, measure))

    assert told[0] == told[1]
