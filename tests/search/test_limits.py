"""What layouts may cost: FLOPs, state, memory, and the size of the largest model that a growth plan reaches."""

from dataclasses import replace

import pytest

from growlab.domains import Choice, Fixed
from growlab.errors import UsageError
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.records import PastTrial, TrialState
from growlab.search import check_limits, propose
from growlab.search.limits import Limits
from growlab.specs import TrainSpec

SAMPLERS = ("random", "evolution", "model")
DOUBLED = {"trigger": Fixed(value="at"), "factor": Fixed(value=2), "operator": Fixed(value="stack")}


class Costs:
    """Costs that can be told from a layout's depth alone."""

    def __call__(self, layout: Layout) -> int:
        return 1000 * layout.depth

    def flops_per_token(self, layout: Layout, seq_len: int) -> int:
        return layout.depth * seq_len

    def state_size(self, layout: Layout, seq_len: int) -> int:
        return layout.depth * seq_len

    def memory(self, layout: Layout, train: TrainSpec, window: int) -> int:
        return layout.depth * train.batch_size * train.seq_len


COSTS = Costs()


def limited(study, **limits):
    return replace(study, layouts=replace(study.layouts, **limits))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("limit", "amount"),
    [
        ("max_flops_per_token", 4 * 64),
        ("max_state", 4 * 64),
        ("max_memory", 4 * 64 * 8),
        ("max_grown_params", 4000),
        ("max_params", 4000),
    ],
)
def test_no_layout_beyond_a_limit_is_proposed(make_study, kinds, sampler, limit, amount):
    train = {"seq_len": Fixed(value=64), "batch_size": Fixed(value=8)}
    startup = {} if sampler == "random" else {"startup_trials": 4}
    study = limited(make_study(train=train, depth=(2, 8), sampler=sampler, **startup), **{limit: amount})

    past: list[PastTrial] = []
    for number in range(12):
        made = propose(study, past, number, kinds, COSTS)
        past.append(
            PastTrial(
                number=number,
                state=TrialState.COMPLETED,
                layout=made.spec.layout,
                params=dict(made.params),
                value=-float(made.depth),  # the deeper the better
            )
        )

    depths = [parse(trial.layout).depth for trial in past]
    assert max(depths) == 4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_memory_is_that_at_the_batch_and_length_which_the_trial_draws(make_study, kinds, sampler):
    train = {"seq_len": Fixed(value=64), "batch_size": Choice(values=(8, 16))}
    study = limited(make_study(train=train, depth=(2, 8), sampler=sampler), max_memory=4 * 64 * 8)

    specs = [propose(study, [], number, kinds, COSTS).spec for number in range(24)]

    depths = {
        batch: {parse(spec.layout).depth for spec in specs if spec.train.batch_size == batch} for batch in (8, 16)
    }
    assert max(depths[8]) == 4
    assert depths[16] == {2}


def test_the_largest_model_of_a_plan_is_what_counts_but_for_max_params(make_study, kinds):
    study = make_study(growth=DOUBLED)
    layout = complete(parse("d=32 (attn mlp)x2"), kinds)

    def excess(**limits):
        return Limits(study=limited(study, **limits), kinds=kinds, measure=COSTS).excess(layout)

    assert excess(max_params=4000, max_grown_params=8000) is None
    assert str(excess(max_grown_params=7999)) == "has 8000 parameters, more than layouts.max_grown_params 7999"
    assert str(excess(max_params=3999)) == "has 4000 parameters, more than layouts.max_params 3999"


def test_a_study_that_does_not_grow_counts_the_layout_as_it_is(make_study, kinds):
    study = limited(make_study(), max_grown_params=4000)

    assert Limits(study=study, kinds=kinds, measure=COSTS).excess(complete(parse("d=32 (attn mlp)x2"), kinds)) is None


def test_a_start_layout_beyond_a_limit_is_refused_at_the_largest_batch_that_it_may_draw(make_study, kinds):
    train = {"seq_len": Fixed(value=64), "batch_size": Choice(values=(8, 16))}
    study = limited(make_study(train=train, start_with=("d=32 attn", "d=32 (attn)x4")), max_memory=4 * 64 * 8)

    message = r"layouts\.start_with\[1\] has 4096 bytes of memory, more than layouts\.max_memory 2048"
    with pytest.raises(UsageError, match=message):
        check_limits(study, kinds, COSTS)


def test_limits_that_no_layout_meets_are_named_with_the_nearest(make_study, kinds):
    train = {"seq_len": Fixed(value=64)}
    study = limited(make_study(train=train, depth=(3, 3), tries=10), max_state=64)

    with pytest.raises(UsageError, match=r"layouts\.max_state 64 allows none of 10 .* 192 numbers of state: d="):
        propose(study, [], 0, kinds, COSTS)
