"""What a model says of a made up past whose truth is known: which changes help, by how much, and how sure it is."""

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from growlab.domains import Choice, Range
from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.search import propose
from growlab.search.model.explaining import Learnt, explain
from growlab.search.propose import ask_for

CONV_FIRST, WARM = -0.3, 0.2
LR = Range(low=1e-4, high=1e-1, log=True)


def loss(layout: str, params: dict) -> float:
    """Convolution at the input helps, lr is best at 3e-3, precision in words costs; dropout does nothing."""
    kinds = [block.kind for block in parse(layout).blocks]
    lr = math.log10(params["train.lr"]) + 2.5
    return 2.0 + CONV_FIRST * (kinds[0] == "conv") + 0.1 * lr**2 + WARM * (params["train.precision"] == "bf16")


@pytest.fixture(scope="module")
def study(make_study):
    train = {
        "lr": LR,
        "dropout": Range(low=0.0, high=0.2),
        "precision": Choice(values=("fp32", "bf16")),
    }
    return make_study({"attn": {}, "conv": {}, "mlp": {}}, d_model=(32,), depth=(2, 6), train=train, sampler="random")


@pytest.fixture(scope="module")
def past(study, kinds, measure) -> list[PastTrial]:
    noise, trials = Random(0), []
    for number in range(60):
        made = propose(study, trials, number, kinds, measure)
        trials.append(
            PastTrial(
                number=number,
                state=TrialState.COMPLETED,
                layout=made.spec.layout,
                params=dict(made.params),
                value=loss(made.spec.layout, made.params) + noise.gauss(0, 0.005),
            )
        )
    return trials


@pytest.fixture(scope="module")
def learnt(study, past, kinds, measure) -> Learnt:
    return explain(ask_for(study, past, len(past), kinds, measure)[0])


def effect(learnt: Learnt, change: str):
    [found] = [each for each in learnt.explanation.effects if each.change == change]
    return found


def test_a_kind_that_helps_at_the_input_alone_is_told_of_the_lower_third(learnt):
    """Blocks of the best trials begin with conv: what is told is what attention in its place costs."""
    lower, upper = (effect(learnt, f"attn in place of another, {where} third") for where in ("lower", "upper"))

    assert lower.mean > 5 * lower.sd
    assert abs(upper.mean) < 0.1


def test_the_best_value_of_a_scalar_is_named_and_its_effect_is_from_low_to_high(learnt):
    lr = effect(learnt, "train.lr 0.0002 → 0.0501")

    assert 1e-3 < float(lr.best) < 1e-2
    true = loss("d=8 attn", {"train.lr": 0.0501, "train.precision": "fp32"}) - loss(
        "d=8 attn", {"train.lr": 0.0002, "train.precision": "fp32"}
    )
    assert abs(lr.mean - true) < 3 * lr.sd + 0.02


def test_names_are_told_one_by_one(learnt):
    bf16 = effect(learnt, "train.precision bf16 in place of another")

    assert abs(bf16.mean - WARM) < 3 * bf16.sd + 0.02


def test_what_does_nothing_is_told_as_little_and_unsure(learnt):
    dropout = effect(learnt, "train.dropout 0.02 → 0.18")

    assert abs(dropout.mean) < 0.05
    assert abs(dropout.mean) < 2 * dropout.sd


def test_what_matters_comes_first_and_shares_add_up(learnt):
    relevances = learnt.explanation.relevances

    assert sum(relevance.share for relevance in relevances) == pytest.approx(1)
    names = [relevance.name for relevance in relevances]
    assert {"block 0", "train.precision"} <= set(names[:4])
    assert names.index("train.dropout") > names.index("train.lr")


def test_it_says_how_well_it_predicts(learnt):
    explanation = learnt.explanation

    assert explanation.rank_correlation is not None
    assert explanation.rank_correlation > 0.8
    assert explanation.predicts
    assert (explanation.n_finished, explanation.n_best) == (60, 10)


def test_a_past_without_a_pattern_predicts_nothing(study, past, kinds, measure):
    rng = Random(1)
    noise = [replace(trial, value=rng.random()) for trial in past]

    explanation = explain(ask_for(study, noise, len(past), kinds, measure)[0]).explanation

    assert not explanation.predicts
    assert explanation.effects  # told all the same: the report says what to think of them


def test_below_four_results_nothing_is_told(study, past, kinds, measure):
    learnt = explain(ask_for(study, past[:3], 3, kinds, measure)[0])

    assert learnt.outlook is None
    assert (learnt.explanation.n_finished, learnt.explanation.effects) == (3, ())
    assert learnt.predict(parse(past[0].layout), past[0].params) is None


def test_a_combination_of_predictions_is_that_of_their_joint_posterior(learnt):
    """Of two equal points there is no difference at all; the variance of a sum has the covariance twice."""
    outlook = learnt.outlook
    assert outlook is not None
    one, other = outlook.good[0].configuration, outlook.good[1].configuration
    means, sds, _ = outlook.predict([one, other])

    mean, sd = outlook.combined([one, other], [1.0, -1.0])

    assert mean == pytest.approx(means[0] - means[1])
    covariance = (sds[0] ** 2 + sds[1] ** 2 - sd**2) / 2
    assert abs(covariance) <= sds[0] * sds[1]
    assert np.isclose(outlook.combined([one, one], [1.0, -1.0]), 0, atol=1e-6).all()
    _, double = outlook.combined([one, other], [1.0, 1.0])
    assert double**2 == pytest.approx(sds[0] ** 2 + sds[1] ** 2 + 2 * covariance, rel=1e-6)
