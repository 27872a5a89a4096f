"""What the instrument says of thousands of experiments whose truth is known; noise as measured, through the envelope.

An experiment is a whole procedure: four repeats, a verdict, and where it cannot tell the repeats that it asks for and a
second verdict. A share p over n simulations is off by √(p (1 - p) / n): 0.7 % at 5 % of 1,000.
"""

import math
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from growlab.statistics.envelope import Envelope, log_margin
from growlab.statistics.repeats import PILOT
from growlab.statistics.verdict import Rule, Verdict, decide

RULE = Rule(margin=log_margin(0.05))
REJECTED = {Verdict.BETTER, Verdict.WORSE}


def procedure(gains_of, rule: Rule, most: int) -> tuple[Verdict, bool]:
    """The last verdict, and whether repeats were asked for. As many repeats as there are, if more are asked for."""
    first = decide({"arm": gains_of(PILOT)}, rule)["arm"]
    if first.verdict is not Verdict.CANNOT_TELL:
        return first.verdict, False
    return decide({"arm": gains_of(min(first.repeats, most))}, rule, look=2)["arm"].verdict, True


def verdicts(experiment, rng, simulations: int, rule: Rule = RULE, **truth) -> Counter:
    counts: Counter = Counter()
    for _ in range(simulations):
        verdict, asked = procedure(experiment(rng, **truth).gains, rule, most=120)
        counts.update([verdict, (verdict, asked)])
    return counts


def asked_for_more(counts: Counter) -> int:
    return sum(counts[verdict, True] for verdict in Verdict)


# ---- an arm that does nothing -----------------------------------------------------------------------------------


def test_an_arm_that_does_nothing_is_better_or_worse_in_at_most_6_percent(experiment, rng):
    counts = verdicts(experiment, rng, 1000, speed_up=1.0)

    assert (counts[Verdict.BETTER] + counts[Verdict.WORSE]) / 1000 <= 0.06
    assert counts[Verdict.EQUAL] / 1000 > 0.6  # and mostly told for what it is


def test_that_holds_where_several_depths_are_equally_good(experiment, rng, three_alike):
    counts = verdicts(experiment, rng, 600, speed_up=1.0, above=three_alike)

    assert (counts[Verdict.BETTER] + counts[Verdict.WORSE]) / 600 <= 0.06
    assert counts[Verdict.BETTER] <= counts[Verdict.WORSE]  # what error there is, is against the arm


def test_a_minimum_within_each_seed_would_call_it_worse(experiment, rng, three_alike):
    def gains(world, n):
        return [
            Envelope.of(min(column, key=lambda run: run.val_loss) for column in _by_budget(runs)).speed_up(
                float(world.arm[seed]), 1e15
            )
            for seed, runs in world.runs(n).items()
        ]

    worlds = [experiment(rng, speed_up=1.0, above=three_alike, n=16) for _ in range(200)]
    worse = sum(decide({"arm": gains(world, 16)}, RULE)["arm"].verdict is Verdict.WORSE for world in worlds)

    assert worse / 200 > 0.3


def _by_budget(runs):
    budgets = sorted({run.cell.budget for run in runs})
    return [[run for run in runs if run.cell.budget == budget] for budget in budgets]


def test_looking_twice_at_the_whole_error_would_err_more(rng, exact):
    """Both looks at 5 % each; no envelope, so that the looks are all that differs."""
    rejected = {"shared": 0, "whole": 0}
    for _ in range(2000):
        values = rng.normal(0, 0.064, 120)
        for name, rule in {"shared": RULE, "whole": Rule(margin=RULE.margin, level=0.9)}.items():
            rejected[name] += procedure(lambda n, values=values: exact(values[:n]), rule, 120)[0] in REJECTED

    assert rejected["shared"] / 2000 <= 0.06
    assert rejected["whole"] / 2000 > 0.06


# ---- an arm that is worth 5 % -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_5_percent(experiment) -> Counter:
    return verdicts(experiment, np.random.default_rng(5), 600, speed_up=1.05)


def test_5_percent_are_found_in_75_percent_at_the_number_of_repeats_that_it_asks_for(of_5_percent):
    asked = asked_for_more(of_5_percent)

    assert asked > 300
    assert of_5_percent[Verdict.BETTER, True] / asked >= 0.75
    assert of_5_percent[Verdict.BETTER] / 600 >= 0.75


def test_what_lies_at_the_margin_is_hardly_ever_called_equal(of_5_percent):
    assert of_5_percent[Verdict.EQUAL] / 600 <= 0.05
    assert of_5_percent[Verdict.WORSE] / 600 <= 0.01


def test_as_many_as_the_pilots_sd_alone_asks_for_would_not_find_them(experiment, rng, monkeypatch):
    def plug_in(effect, *, sd, n, error, power):
        """The textbook's number, for a known sd: ((z_error + z_power) sd / effect)²."""
        z = NormalDist().inv_cdf
        return max(n + 1, math.ceil(((z(1 - error / 2) + z(power)) * sd / effect) ** 2))

    monkeypatch.setattr("growlab.statistics.repeats.repeats_to_find", plug_in)

    counts = verdicts(experiment, rng, 400, speed_up=1.05)

    assert counts[Verdict.BETTER, True] / asked_for_more(counts) < 0.75


# ---- where the envelope ends near the arm -----------------------------------------------------------------------


def test_an_envelope_that_ends_at_the_arms_budget_makes_nothing_better(experiment, rng):
    """Half of all seeds lie beyond it, by noise."""
    better = 0
    for _ in range(300):
        world = experiment(rng, speed_up=1.0, n=8)
        lines = {seed: Envelope.of(run for run in runs if run.cell.depth == 4 and run.cell.budget <= 1)
                 for seed, runs in world.runs(8).items()}  # fmt: skip
        gains = [line.speed_up(float(world.arm[seed]), 1e15) for seed, line in lines.items()]
        better += decide({"arm": gains}, Rule(margin=RULE.margin, looks=1))["arm"].verdict is Verdict.BETTER

    assert better / 300 <= 0.03
