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
from growlab.search.propose import ask_for
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


def test_a_start_layout_that_would_grow_too_large_is_proposed_where_it_does_not_grow(make_study, kinds):
    def starting(**growth):
        study = make_study(growth=growth, start_with=("d=32 (attn mlp)x2",))
        return limited(study, max_grown_params=4000)

    either = starting(trigger=Choice(values=("never", "at")))
    triggers = {propose(replace(either, seed=seed), [], 0, kinds, COSTS).params["growth.trigger"] for seed in range(10)}

    assert triggers == {"never"}
    with pytest.raises(UsageError, match=r"layouts\.start_with\[0\] has 6000 parameters"):
        propose(starting(trigger=Fixed(value="at")), [], 0, kinds, COSTS)


def test_limits_that_no_layout_meets_are_named_with_the_nearest(make_study, kinds):
    train = {"seq_len": Fixed(value=64)}
    study = limited(make_study(train=train, depth=(3, 3), tries=10), max_state=64)

    with pytest.raises(UsageError, match=r"layouts\.max_state 64 allows none of 10 .* 192 numbers of state: d="):
        propose(study, [], 0, kinds, COSTS)


# ---- memory as it was measured -----------------------------------------------------------------------------------

BYTES = 64 * 8  # of a block, by the estimate


def past_of(*trials):
    """Trials of (depth, what each took of the estimate, state)."""
    return [
        PastTrial(
            number=number,
            state=state,
            layout=f"d=64 {' '.join(['attn'] * depth)}",
            value=2.0 if state is TrialState.COMPLETED else None,
            peak_memory=None if took is None else took * depth * BYTES,
        )
        for number, (depth, took, state) in enumerate(trials)
    ]


def completed(*took, depth=2):
    return [(depth, ratio, TrialState.COMPLETED) for ratio in took]


def ratio_after(make_study, kinds, *trials, **limits):
    study = limited(
        make_study(train={"seq_len": Fixed(value=64), "batch_size": Fixed(value=8)}),
        **{"max_memory": 4 * BYTES} | limits,
    )
    ask, _ = ask_for(study, past_of(*trials), len(trials), kinds, COSTS)
    return ask.limit.memory_ratio


FAILED = TrialState.FAILED


@pytest.mark.parametrize(
    ("trials", "ratio"),
    [
        ([], 1.0),
        (completed(2.0, 2.0, 2.0), 1.0),  # too few
        (completed(2.0, 2.0, 2.0, 2.0), 2.0),
        (completed(*[0.5] * 18, 0.75, 30.0), 0.5),  # one in ten may be off
        (completed(*[0.5] * 4, None, None), 0.5),
        (completed(*[30.0] * 4), 5.0),
        ([*completed(*[0.5] * 4), (4, 1.5, FAILED)], 1.5),  # there was so much, and it was too little
        ([*completed(*[2.0] * 4), (4, 1.5, FAILED)], 2.0),  # which the ratio says already
        ([(4, 1.5, FAILED)] * 4, 1.5),
        ([(4, 0.5, FAILED)] * 4, 1.0),
        ([*completed(*[2.0] * 3), (2, 9.0, TrialState.DIVERGED)], 1.0),  # cut off, who knows before what
    ],
)
def test_the_memory_that_trials_took_corrects_the_estimate(make_study, kinds, trials, ratio):
    assert ratio_after(make_study, kinds, *trials) == pytest.approx(ratio)


def test_what_is_not_limited_is_not_corrected(make_study, kinds):
    assert ratio_after(make_study, kinds, *completed(*[2.0] * 4), max_memory=0, max_state=10**9) == 1.0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_layout_beyond_the_corrected_memory_is_proposed_but_those_to_start_with(make_study, kinds, sampler):
    study = limited(
        make_study(
            train={"seq_len": Fixed(value=64), "batch_size": Fixed(value=8)},
            depth=(2, 8),
            sampler=sampler,
            start_with=("d=64 (attn mlp)x3",),
        ),
        max_memory=6 * BYTES,
    )
    past = past_of(*completed(*[2.0] * 4))
    past = [replace(trial, added=True) for trial in past]

    depths = [propose(study, past, number, kinds, COSTS).depth for number in range(4, 16)]

    assert depths[0] == 6
    assert max(depths[1:]) <= 3


def test_a_study_that_nothing_fits_into_any_more_says_what_its_trials_took(make_study, kinds):
    study = limited(make_study(depth=(2, 8), sampler="random"), max_memory=2 * 128 * 32)
    past = [replace(trial, peak_memory=2 * 2 * 128 * 32) for trial in past_of(*completed(*[2.0] * 4))]

    with pytest.raises(UsageError, match=r"bytes of memory, 2.00 of the estimate as trials had it"):
        propose(study, past, 4, kinds, COSTS)
