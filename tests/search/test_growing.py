"""Growth that cannot happen, and stages of a curriculum that do nothing, are warned of."""

from dataclasses import replace

import pytest

from growlab.domains import Choice, Fixed, Range, Rising
from growlab.growth.moment import Moment
from growlab.growth.triggers.stagnation import Stagnation, StagnationOptions
from growlab.recipes import Pace
from growlab.records import TrajectoryPoint
from growlab.scalar import with_defaults
from growlab.search import warnings_for
from growlab.search.growing import most_steps
from growlab.specs import BudgetSpec, StageSpec

GROWTH = {
    "trigger": "stagnation",
    "warmup_steps": 100,
    "collect_interval_steps": 10,
    "patience": 2,
    "history_window_size": 8,
    "freeze_steps": 50,
    "k_subspace": 3,
    "ell_orth": 2,
}


STEPS = BudgetSpec(unit="steps", amount=600)


@pytest.fixture
def warned(make_study, kinds):
    """The warnings of a study that grows as GROWTH says, but for what a test is about."""

    def of(budget=STEPS, curriculum=(), n_steps=None, train=(), **growth):
        domains = {
            name: value if isinstance(value, Range | Choice) else Fixed(value=value)
            for name, value in {**GROWTH, **growth}.items()
        }
        sections = {"train": {"eval_every": Fixed(value=50), **dict(train)}, "growth": domains}
        study = replace(make_study(depth=(2, 4), **sections), budget=budget, curriculum=curriculum)
        return warnings_for(study, kinds, n_steps)

    return of


def test_growth_that_can_happen_is_not_warned_of(warned):
    assert warned() == []


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ({"warmup_steps": 600}, "growth.warmup_steps 600 leaves none of the budget's 600 steps; lower it"),
        ({"collect_interval_steps": 200, "warmup_steps": 0}, "takes three snapshots in no less than 600 steps"),
        ({"trigger": "slope", "trigger.slope.checks": 12, "trigger.slope.least": 0.1},
         "growth begins at step 600, and the budget ends at 600; let it begin earlier, or raise the budget"),
        ({"patience": 11}, "growth.patience 11 with train.eval_every 50 and growth.warmup_steps 100 lets a model grow "
                           "at step 600 at the earliest, and the budget ends at 600; lower them"),
        ({"warmup_steps": Range(low=700, high=800)}, "growth.warmup_steps 700 leaves none"),
    ],
)  # fmt: skip
def test_growth_that_comes_too_late_is_warned_of_with_the_value(warned, growth, message):
    [warning] = warned(**growth)

    assert warning.startswith("nothing can grow: ")
    assert message in warning


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ({"freeze_steps": 500}, "growth.freeze_steps 500 after the first growth, at step 150 at the earliest, reach"),
        ({"history_window_size": 20, "collect_interval_steps": 40}, "the window is never full; lower one of them"),
        (
            {"tau_crit": 2.7},
            "growth.trigger.stagnation: its critical τ 2.7 is more than that of a random walk over growth.history",
        ),
        ({"kappa_crit": 2.5}, "growth.trigger.stagnation: its critical κ 2.5 is more than that of a random walk"),
        ({"max_depth": 4, "unit": "conv mlp mlp"}, "a layout of this study has 5 blocks or more once it has grown"),
    ],
)
def test_growth_that_hardly_does_what_it_says_is_warned_of(warned, growth, message):
    [warning] = warned(**growth)

    assert message in warning


@pytest.mark.parametrize(
    ("options", "freeze_steps", "message"),
    [
        ({"shares": Rising("0.9")}, 20,
         "growth.trigger.probe begins at 0.9 of the budget, and its two branches of 0.05 each leave none of it"),
        ({}, 30, "growth.trigger.probe tries a growth for 30 steps, and for growth.freeze_steps 30 only what grew"),
        ({}, 20, ""),
        ({"share": Range(low=0.02, high=0.1)}, 20, ""),
        ({"shares": Choice(values=(Rising("0.1"), Rising("0.9")))}, 20, ""),
    ],
)  # fmt: skip
def test_a_growth_that_is_tried_in_vain_is_warned_of(warned, options, freeze_steps, message):
    options = {"shares": Rising("0.1"), "share": 0.05, "least": 0.0, **options}
    of_probe = {f"trigger.probe.{name}": value for name, value in options.items()}

    warnings = warned(trigger="probe", freeze_steps=freeze_steps, **of_probe)

    assert len(warnings) == bool(message)
    assert message in "".join(warnings)


def test_one_lucky_value_of_a_search_is_enough(warned):
    assert warned(warmup_steps=Range(low=100, high=5000), patience=Choice(values=(2, 50))) == []


def test_a_budget_in_tokens_is_as_many_steps_as_the_smallest_batch_makes_of_it(warned):
    tokens = BudgetSpec(unit="tokens", amount=50 * 16 * 64)
    batches = {"batch_size": Choice(values=(16, 32)), "seq_len": Fixed(value=64)}

    [warning] = warned(tokens, train=batches)

    assert "leaves none of the budget's 50 steps" in warning


def test_a_budget_in_flops_is_as_many_steps_as_it_is_told_to_be(warned):
    flops = BudgetSpec(unit="flops", amount=10**9)

    assert warned(flops) == []
    assert len(warned(flops, n_steps=80)) == 1


def moment(val_loss: float, *, step: int, bent: bool) -> Moment:
    statistics = dict.fromkeys(("tau", "kappa", "diffusion_exponent", "drift_to_noise", "drift_z"), 9.0)
    path = TrajectoryPoint(step=step, unit=0, tensor="", n_increments=2, path=9.0, displacement=1.0, **statistics)
    return Moment(step=step, progress=0.5, flops=0, train_loss=val_loss, val_loss=val_loss, path=path if bent else None)


def test_the_first_growth_is_when_the_trigger_first_says_so():
    """The real trigger, on a loss that never gets better."""
    for eval_every, warmup, interval, patience in [(50, 100, 10, 2), (30, 100, 40, 1), (100, 0, 1, 3), (7, 0, 1, 1)]:
        options = with_defaults(StagnationOptions, warmup_steps=warmup, patience=patience, tau_crit=0.5, kappa_crit=0.5)
        trigger, step, asked = Stagnation(options), 0, False
        while not asked:
            step += eval_every
            asked = trigger.check(moment(1.0, step=step, bent=step >= 3 * interval))

        pace = Pace(eval_every=eval_every, collect_interval_steps=interval, n_steps=10**6)
        assert step == options.first_growth(pace)


def stages(*untils, path="", plasticity=0.0):
    return tuple(
        StageSpec(until=until, path=path or f"{at}.txt", sha256="", plasticity=plasticity)
        for at, until in enumerate(untils)
    )


def test_a_stage_without_a_step_is_warned_of(warned):
    assert warned(curriculum=stages(0.5, 1.0)) == []
    assert warned(curriculum=stages(0.5, 0.501, 1.0)) == []  # step 300 does
    assert warned(STEPS, curriculum=stages(0.07, 0.07 + 1 / 600, 1.0)) == []
    [warning] = warned(curriculum=stages(0.5001, 0.5002, 1.0))
    assert warning.startswith("curriculum[1].until 0.5002: none of the budget's 600 steps lies between")


def test_a_stage_that_changes_nothing_is_warned_of(warned):
    [same] = warned(curriculum=stages(0.5, 1.0, path="a.txt"))
    [alone] = warned(curriculum=(StageSpec(until=1.0, path="", sha256="", plasticity=0.0),))

    assert same == "curriculum[1] reads and sets what curriculum[0] does; make one stage of them"
    assert alone.startswith("curriculum has one stage, which reads data's own text and sets nothing")


def test_steps_are_known_of_steps_and_tokens(make_study):
    study = make_study(train={"batch_size": Fixed(value=8), "seq_len": Range(low=16, high=64)})

    budgets = [BudgetSpec(unit=unit, amount=1000) for unit in ("steps", "tokens", "flops")]

    assert [most_steps(replace(study, budget=budget)) for budget in budgets] == [1000, 8, None]
