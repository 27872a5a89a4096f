"""Several objectives as one number: every trial of a front is best for some weights, and samplers see that number."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.records import PastTrial, TrialState
from growlab.samplers import SAMPLERS
from growlab.search import propose
from growlab.search.past import loss_of
from growlab.search.samplers.random import RandomOptions, random
from growlab.search.sampling import Ask, SamplerOptions, register_sampler
from growlab.search.scalarising import drawn_weights, scalarised
from growlab.study import Objective

FRONT = [(0.0, 9.0), (1.0, 4.0), (3.0, 3.0), (8.0, 0.0)]
DOMINATED = [(1.0, 9.0), (8.0, 4.0)]


def past_of(*values):
    return [
        PastTrial(number=at, state=TrialState.COMPLETED, layout="d=32 attn mlp", value=each[0], values=each)
        for at, each in enumerate(values)
    ]


def best(past):
    return min(past, key=lambda trial: (loss_of(trial), trial.number)).number


def test_every_trial_of_the_front_is_best_for_some_weights_and_no_other_one_for_any():
    past = past_of(*FRONT, *DOMINATED)

    found = {best(scalarised(past, drawn_weights(2, seed))) for seed in range(200)}

    assert found == set(range(len(FRONT)))


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_weights_sum_to_one_and_are_those_of_their_seed(n, seed):
    weights = drawn_weights(n, seed)

    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0
    assert weights == drawn_weights(n, seed)


def test_what_reached_not_all_objectives_has_no_value_and_what_runs_stays_as_it_is():
    unknown = replace(past_of((1.0, 1.0))[0], number=9, values=())
    running = PastTrial(number=10, state=TrialState.RUNNING, layout="")

    *_, lost, still = scalarised([*past_of(*FRONT), unknown, running], (0.5, 0.5))

    assert (lost.value, still) == (None, running)
    assert scalarised([unknown, running], (0.5, 0.5)) == [unknown, running]  # nothing to range over


def test_what_breaks_a_constraint_does_not_say_how_far_objectives_range():
    far = replace(past_of((100.0, 100.0))[0], number=9, feasible=False)

    values = [trial.value for trial in scalarised([*past_of(*FRONT), far], (0.3, 0.7))]

    assert values[:4] == [trial.value for trial in scalarised(past_of(*FRONT), (0.3, 0.7))]


@pytest.mark.parametrize("knows", [False, True])
def test_a_sampler_is_shown_one_number_unless_it_says_that_it_knows_several(make_study, kinds, measure, knows):
    shown_values = []

    @dataclass(frozen=True, kw_only=True)
    class Options(SamplerOptions):
        knows_several = knows

    before = dict(SAMPLERS)
    try:

        @register_sampler("shown", "", options=Options)
        def shown(ask: Ask, options: Options):
            shown_values.append([trial.value for trial in ask.past])
            return random(ask, RandomOptions(tries=10))

        study = replace(make_study(sampler="shown"), objectives=(Objective(), Objective(metric="params")))
        past = [
            PastTrial(number=at, state=TrialState.COMPLETED, layout=f"d=32 (attn mlp)x{at + 1}", value=3.0 - at)
            for at in range(3)
        ]
        for number in (3, 4):
            propose(study, past, number, kinds, measure)
    finally:
        SAMPLERS.reset(before)

    first, second = shown_values
    assert (first == second == [3.0, 2.0, 1.0]) is knows
    assert (max(first) <= 1.1) is not knows
