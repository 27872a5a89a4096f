"""Trials by all that a study judges them by: recorded metrics, and what layouts tell before anything is trained."""

from dataclasses import replace

import pytest

from growlab.domains import Choice, Fixed
from growlab.errors import UsageError
from growlab.layout import Layout, parse
from growlab.records import PastTrial, TrialState
from growlab.search import propose
from growlab.search.judging import judged, told_by
from growlab.search.limits import Limits
from growlab.search.past import grouped, unfinished
from growlab.search.propose import ask_for
from growlab.search.replay import propose_again
from growlab.specs import TrainSpec
from growlab.study import Constraint, Objective

DEEP, SHALLOW = "d=32 (attn mlp)x3", "d=32 attn mlp"
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
        return layout.depth * train.batch_size * window


def several(study, *metrics, constraints=(), **options):
    objectives = (Objective(), *(Objective(metric=metric, options=options) for metric in metrics))
    return replace(study, objectives=objectives, constraints=tuple(constraints))


def completed(number=0, layout=DEEP, value=2.0, **known):
    return PastTrial(number=number, state=TrialState.COMPLETED, layout=layout, value=value, **known)


def judge(study, kinds, *past):
    return judged(Limits(study=study, kinds=kinds, measure=Costs()), past)


def test_what_a_layout_tells_joins_what_was_recorded(make_study, kinds):
    study = several(make_study(train={"seq_len": Fixed(value=16)}), "params", "flops_per_token", "memory")
    running = PastTrial(number=1, state=TrialState.RUNNING, layout=SHALLOW)

    trial, other = judge(study, kinds, completed(), running)

    assert trial.values == (2.0, 6000, 6 * 16, 6 * 32 * 15)
    assert (other.values, other.metrics["params"]) == ((), 2000)


def test_a_maximised_objective_is_negated_and_an_unknown_one_leaves_no_values(make_study, kinds):
    study = several(make_study(), "train_tokens_per_s")
    study = replace(study, objectives=(study.objective, replace(study.objectives[1], direction="maximise")))

    known, unknown = judge(study, kinds, completed(metrics={"val_loss": 2.0, "train_tokens_per_s": 5.0}), completed(1))

    assert (known.values, unknown.values, unknown.value) == ((2.0, -5.0), (), 2.0)


def test_of_a_trial_that_is_over_the_last_layout_counts_and_before_that_the_largest(make_study, kinds):
    study = several(make_study(growth={**DOUBLED, "max_depth": Fixed(value=32)}, depth=(2, 4)), "params")
    early = completed(1, SHALLOW, layout_end=SHALLOW)  # it could not grow after all

    doubled, same = judge(study, kinds, completed(0, SHALLOW), early)

    assert [doubled.values[1], same.values[1]] == [4000, 2000]
    assert told_by(Limits(study=study, kinds=kinds, measure=Costs()), parse(SHALLOW), {}) == {"params": 4000.0}


def test_a_state_has_the_length_that_is_asked_or_the_trials_own(make_study, kinds):
    searched = make_study(train={"seq_len": Choice(values=(16, 64))})
    trial = completed(layout=SHALLOW, params={"train.seq_len": 64})

    [own] = judge(several(searched, "state_size"), kinds, trial)
    [asked] = judge(several(searched, "state_size", seq_len=4096), kinds, trial)

    assert (own.values[1], asked.values[1]) == (2 * 64, 2 * 4096)


def test_a_trial_that_breaks_a_constraint_or_of_which_nobody_knows_is_not_feasible(make_study, kinds):
    bounds = [Constraint(metric="params", at_most=5000), Constraint(metric="decode_tokens_per_s", at_least=10)]
    study = several(make_study(), constraints=bounds)
    fast, slow = {"decode_tokens_per_s": 11.0}, {"decode_tokens_per_s": 9.0}
    running = PastTrial(number=4, state=TrialState.RUNNING, layout=DEEP)

    past = [completed(0, SHALLOW, metrics=fast), completed(1, DEEP, metrics=fast), completed(2, SHALLOW, metrics=slow)]
    found = judge(study, kinds, *past, completed(3, SHALLOW), running)

    assert [trial.feasible for trial in found] == [True, False, False, False, True]


def test_a_damaged_row_and_a_kind_that_nobody_knows_tell_nothing(make_study, kinds):
    found = judge(several(make_study(), "params"), kinds, completed(0, ""), completed(1, "d=8 atention"))

    assert [(trial.value, trial.values) for trial in found] == [(2.0, ()), (2.0, ())]


def test_one_objective_is_judged_as_its_revision_has_it(make_study, kinds):
    study = replace(make_study(), objectives=(Objective(metric="bits_per_byte"),))
    recorded = completed(metrics={"val_loss": 2.0, "bits_per_byte": 3.0})

    [trial], [told] = judge(study, kinds, recorded), judge(study, kinds, completed())

    assert (trial.value, told.value) == (3.0, 2.0)


def test_repeats_have_the_means_of_their_metrics(make_study, kinds):
    study = replace(several(make_study(), "params", "accuracy"), repeats=2)
    known = [{"val_loss": value, "accuracy": value / 10} for value in (1.0, 3.0)]
    past = [completed(at, value=each["val_loss"], metrics=each) for at, each in enumerate(known)]

    [group] = judge(study, kinds, *grouped(past, 2))

    assert group.values == pytest.approx((2.0, 6000, 0.2))


def test_nothing_of_a_trial_is_known_before_it_is_over(make_study, kinds):
    trial = completed(metrics={"val_loss": 2.0}, layout_end=DEEP, values=(1.0,), feasible=False, peak_memory=5.0)

    assert unfinished(trial) == PastTrial(number=0, state=TrialState.RUNNING, layout=DEEP)


@pytest.mark.parametrize("sampler", ["random", "evolution"])
@pytest.mark.parametrize("bound", [{"at_most": 4000}, {"at_least": 5000}])
def test_no_layout_is_proposed_of_which_is_known_that_it_breaks_a_constraint(make_study, kinds, sampler, bound):
    startup = {} if sampler == "random" else {"startup_trials": 4}
    study = make_study(depth=(2, 8), sampler=sampler, **startup)
    study = several(study, constraints=[Constraint(metric="params", **bound)])

    past: list[PastTrial] = []
    for number in range(12):
        proposal = propose(study, past, number, kinds, Costs())
        past.append(completed(number, proposal.spec.layout, value=2.0 + number % 3, params=proposal.params))

    assert all(study.constraints[0].holds(1000 * parse(trial.layout).depth) for trial in past)


def test_a_constraint_that_no_layout_meets_is_said_with_the_nearest_one(make_study, kinds):
    study = several(make_study(depth=(2, 2)), constraints=[Constraint(metric="params", at_least=9e3)])

    with pytest.raises(
        UsageError, match=r"constraints.params.at_least 9000 allows none of 200 .* largest has 2000 par"
    ):
        propose(study, [], 0, kinds, Costs())


def test_a_proposal_with_several_objectives_is_made_again_byte_for_byte(make_study, kinds):
    study = several(make_study(n_trials=14, sampler="evolution", startup_trials=4), "params", "accuracy")
    trials: dict[int, PastTrial] = {}
    made = []
    for number in range(14):
        seen = [trial if at % 3 else unfinished(trial) for at, trial in trials.items()]
        made.append(propose(study, seen, number, kinds, Costs()))
        recorded = {"val_loss": 3 - number / 20, "accuracy": number % 5 / 5}
        layout, params = made[-1].spec.layout, dict(made[-1].params)
        trials[number] = completed(number, layout, recorded["val_loss"], params=params, metrics=recorded)

    again = [propose_again(study, proposal.decision, trials, kinds, Costs()) for proposal in reversed(made)]

    assert again[::-1] == made


def test_a_sampler_is_told_all_values(make_study, kinds):
    study = several(make_study(), "params")

    ask, _ = ask_for(study, [completed()], 1, kinds, Costs())

    assert ask.past[0].values == (2.0, 6000.0)
