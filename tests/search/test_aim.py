"""What the model aims at: below the best of one objective, beyond the front of several."""

import math
from dataclasses import replace

import numpy as np
import pytest

from growlab.domains import Range
from growlab.layout import parse
from growlab.records import PastTrial, RungReading, TrialState
from growlab.rungs import Rungs
from growlab.search import New, Promote, decide, propose
from growlab.search.model.choice import scores
from growlab.search.replay import propose_again, seen
from growlab.specs import BudgetSpec
from growlab.statistics.pareto import hypervolume
from growlab.study import Objective
from growlab.study.sampler_section import read_sampler

LR = Range(low=1e-4, high=1e-2, log=True)
REFERENCE = np.array([3.0, 200_000.0])


@pytest.fixture
def study(make_study):
    made = make_study(train={"lr": LR}, sampler="model", n_trials=40)
    return replace(made, objectives=(Objective(), Objective(metric="params")))


def loss(layout, params):
    """The more of attention and the wider the better, at an lr of 1e-3."""
    parsed = parse(layout)
    share = sum(block.kind == "attn" for block in parsed.blocks) / len(parsed.blocks)
    return 2 - 0.5 * share - 0.1 * math.log(parsed.d_model / 32) + 0.1 * math.log10(params["train.lr"] / 1e-3) ** 2


def completed(proposal):
    layout, params = proposal.spec.layout, dict(proposal.params)
    value = loss(layout, params)
    return PastTrial(
        number=proposal.number,
        state=TrialState.COMPLETED,
        layout=layout,
        params=params,
        value=value,
        metrics={"val_loss": value, "accuracy": value % 0.3},
    )


def searched(study, kinds, measure, n_trials):
    past = []
    for number in range(n_trials):
        past.append(completed(propose(study, past, number, kinds, measure)))
    return past


def test_of_equal_gains_the_surer_comes_first_and_what_will_probably_fail_last():
    gains, runs = np.array([1.0, 1.0, 0.7, 5.0, 9.0]), np.array([0.7, 1.0, 0.95, 0.5, 0.2])

    found = scores(gains, runs)

    assert np.argsort(-found).tolist() == [1, 0, 2, 3, 4]
    assert found[3:].tolist() == pytest.approx([-0.5, -0.8])


def test_it_covers_more_within_the_reference_than_random_draws(study, kinds, measure):
    def covered(sampler, seed):
        one = replace(study, sampler=read_sampler(sampler), seed=seed)
        past = searched(one, kinds, measure, 20)
        points = np.array([[trial.value, measure(parse(trial.layout))] for trial in past])
        return hypervolume(points, REFERENCE)

    model, blind = (sum(covered(sampler, seed) for seed in range(2)) for sampler in ("model", "random"))

    assert model > blind


def test_with_a_layouts_objective_and_a_measured_one_a_proposal_is_made_again(study, kinds, measure):
    maximised = Objective(metric="accuracy", direction="maximise")
    study = replace(study, objectives=(*study.objectives, maximised))
    past = searched(study, kinds, measure, 12)
    made = propose(study, past, 12, kinds, measure)

    again = propose_again(study, made.decision, {trial.number: trial for trial in past}, kinds, measure)

    assert made.decision.origin == "model"
    assert again == made


def test_a_waiting_trial_is_promoted_where_its_end_is_worth_more_than_a_new_one(study, kinds, measure):
    """On the way to 24 decisions both happen, and each is made again from what it saw."""
    study = replace(study, budget=BudgetSpec(unit="flops", amount=900), rungs=Rungs(first=1 / 3))
    trials, made = {}, []
    for _ in range(24):
        decision = decide(study, list(trials.values()), kinds, measure)
        if isinstance(decision, New):
            proposal = decision.proposal
            trial = completed(proposal)
            reading = RungReading(
                rung=0,
                step=3,
                mark=300,
                flops=300,
                val_loss=trial.value + 0.5,
                bits_per_byte=None,
                slope=None,
            )
            trials[proposal.number] = replace(
                trial, state=TrialState.PAUSED, value=None, metrics={}, readings=(reading,)
            )
        else:
            waiting = trials[decision.promotion.trial]
            value = waiting.readings[0].val_loss - 0.5
            trials[waiting.number] = replace(
                waiting, state=TrialState.COMPLETED, value=value, may_pass=1, metrics={"val_loss": value}
            )
        made.append(decision)

    promoted = [decision.promotion for decision in made if isinstance(decision, Promote)]
    again = [decide(study, seen(promotion, trials), kinds, measure) for promotion in promoted]

    assert any(promotion.predicted for promotion in promoted)
    assert 3 <= len(promoted) < 20
    assert again == [Promote(promotion) for promotion in promoted]
