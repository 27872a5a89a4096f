"""The file of an ablation: what it means, and what is refused with the key and what it got."""

from collections.abc import Callable
from pathlib import Path

import pytest

from growlab.ablate.arms import all_arms, spec_of
from growlab.ablate.cells import seed_of
from growlab.ablate.file import Ablation, read_ablation
from growlab.errors import SpecError, UsageError
from growlab.kinds import complete
from growlab.layout import format_layout, parse

Read = Callable[..., Ablation]


def full(layout: str) -> str:
    return format_layout(complete(parse(layout)))


def test_arms_are_the_files_and_three_un_grown_depths_around_the_final_one(read: Read) -> None:
    arms = all_arms(read())

    assert list(arms) == ["grown", "silent", "ungrown 6", "ungrown 8", "ungrown 10"]
    assert full(arms["ungrown 10"].layout) == full("d=16 (attn[n_heads=2] mlp)x5")
    assert arms["ungrown 8"].growth is False


def test_a_file_may_name_the_depths_of_its_envelope_each_with_budgets_and_values_of_its_own(read: Read) -> None:
    ablation = read(
        ("budgets: [0.5, 1, 2]", "units: {6: [1, 2], 2: [0.5, 1]}, train: {weight_decay: 0.3}"),
        ("train: {batch_size: 4, seq_len: 16}", "train: {batch_size: 4, seq_len: 16, weight_decay: 0.1}"),
    )
    arms = all_arms(ablation)

    assert {name: arm.budgets for name, arm in arms.items()} == {
        "grown": (1.0,),
        "silent": (1.0,),
        "ungrown 4": (0.5, 1.0),
        "ungrown 12": (1.0, 2.0),
    }
    assert full(arms["ungrown 12"].layout) == full("d=16 (attn[n_heads=2] mlp)x6")
    assert ablation.envelope is not None
    assert ablation.envelope.budgets == (0.5, 1.0, 2.0)
    decays = {name: spec_of(ablation, arm, {}, budget=1.0, seed=0).train.weight_decay for name, arm in arms.items()}
    assert decays == {"grown": 0.1, "silent": 0.1, "ungrown 4": 0.3, "ungrown 12": 0.3}


def test_an_arm_may_have_the_layout_that_another_ends_with(read: Read) -> None:
    ablation = read(("  silent:", "  final: {layout: {final_depth_of: grown}}\n  silent:"))

    assert full(all_arms(ablation)["final"].layout) == full("d=16 (attn[n_heads=2] mlp)x4")


def test_all_arms_share_seeds_and_compute_and_tuning_has_seeds_of_its_own(read: Read) -> None:
    ablation = read()
    arms = all_arms(ablation)
    seed = seed_of(ablation, "repeat", 1)

    specs = [spec_of(ablation, arm, {"train.lr": 4e-3}, budget=1.0, seed=seed) for arm in arms.values()]

    assert {spec.seed for spec in specs} == {seed}
    assert {(spec.budget.unit, spec.budget.amount) for spec in specs} == {("flops", 10**9)}
    assert {spec.train.lr for spec in specs} == {4e-3}
    assert [spec.growth.trigger.name for spec in specs] == ["at", "at", "never", "never", "never"]
    assert seed != seed_of(ablation, "tuning", 1)
    assert spec_of(ablation, arms["ungrown 8"], {}, budget=0.5, seed=0).budget.amount == 5 * 10**8


def test_a_value_of_growth_can_be_tuned_for_the_arms_that_grow(read: Read) -> None:
    ablation = read(("tune: {train.lr: [2e-3, 4e-3, 8e-3]}", "tune: {growth.entry_scale: [0.3, 1.0]}"))

    spec = spec_of(ablation, all_arms(ablation)["grown"], {"growth.entry_scale": 0.3}, budget=1.0, seed=0)

    assert (spec.growth.entry_scale, spec.growth.factor) == (0.3, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: doubling", "nmae: doubling"), "nmae: unknown key."),
        (("budget: {flops: 1e9}", "budget: {steps: 100}"), "budget.steps: unknown key."),
        (("envelope: {of: grown, budgets: [0.5, 1, 2]}", ""), "write either envelope .* or against: ARM"),
        (("primary: [grown]", "primary: [growm]"), "primary must be an arm, grown, silent, got 'growm'. Did you mean"),
        (("of: grown", "of: grwon"), "envelope.of must be an arm"),
        (("budgets: [0.5, 1, 2]", "units: {4: [1]}"), r"envelope.units must be two shares or more, .* got \[1\.0\]"),
        (("budgets: [0.5, 1, 2]", "units: {4: [0, 1]}"), r"envelope.units.4 must be a list of shares, all above 0"),
        (("budgets: [0.5, 1, 2]", "units: {0: [1, 2]}"), "envelope.units: must be a whole number of at least 1, got 0"),
        (("budgets: [0.5, 1, 2]", "units: {}"), "envelope.units must be at least one number of units, got 'none'"),
        (("budgets: [0.5, 1, 2]", "units: {4: [1, 2]}, budgets: [1, 2]"), "envelope.units says at which budgets each"),
        (("budgets: [0.5, 1, 2]", "budgets: [1]"), "envelope.budgets must be two shares or more"),
        (("budgets: [0.5, 1, 2]", "budgets: [1, .inf]"), "envelope.budgets must be two shares or more"),
        (("of: grown", "of: [grown]"), r"envelope.of must be an arm, grown, silent, got \['grown'\]"),
        (
            ("  silent:", "  7: {layout: d=16 mlp}\n  '7': {layout: d=8 mlp}\n  silent:"),
            "arms: two of them have one name",
        ),
        (("repeats: 4", "repeats: 0"), "repeats: must be a whole number of at least 1"),
        (("tune: {train.lr: [2e-3, 4e-3, 8e-3]}", "tune: {layouts.depth: 3}"), "tune.layouts.depth must be below"),
        (
            ("tune: {train.lr: [2e-3, 4e-3, 8e-3]}", "tune: {growth.factor: [2, 3]}"),
            "tune.growth.factor changes how deep",
        ),
        (("primary: [grown]", "primary: [grown]\nmargin: 0"), "margin must be a number greater than 0, got 0.0"),
        (("primary: [grown]", "primary: [grown]\nlook: 3"), "look must be 1, or 2 after 'cannot tell'"),
        (('silent: {layout: "d=16 (attn[n_heads=2] mlp)x2"', "silent: {layuot: a"), "arms.silent.layuot: unknown key"),
    ],
)
def test_a_slip_is_refused_with_its_key(write: Callable[..., Path], change: tuple[str, str], message: str) -> None:
    path = write(change)

    with pytest.raises(SpecError, match=f"ablation.yaml: {message}"):
        read_ablation(path)


def test_an_arm_that_searches_is_refused(read: Read) -> None:
    ablation = read(("train: {batch_size: 4, seq_len: 16}", "train: {batch_size: 4, seq_len: 16, dropout: [0, 0.1]}"))

    with pytest.raises(UsageError, match=r"ablation.yaml: arm 'grown' searches train\.dropout, and .* list it"):
        all_arms(ablation)


def test_an_arm_that_growlab_cannot_train_is_refused(read: Read) -> None:
    ablation = read(("growth: early-double}\n", "growth: {trigger: sometimes}}\n"))

    with pytest.raises(UsageError, match=r"ablation\.yaml: arm 'grown': unknown growth trigger 'sometimes'"):
        all_arms(ablation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("growth: early-double}", "growth: {trigger: stagnation}}"),
            "arm 'grown' grows as often as trigger stagnation decides, so nobody knows the depth",
        ),
        (
            ("growth: early-double}", "growth: {trigger: probe}}"),
            "arm 'grown' grows as often as trigger probe decides, so nobody knows the depth",
        ),
        (("  silent:", "  ungrown 8:"), "arm 'ungrown 8' has the name of a depth of the envelope"),
        (
            ("growth: early-double}", "growth: {factor: 1000000}}"),
            "growth.factor 1000000, growth.units 1 and the trigger make more than 4096 blocks; lower them",
        ),
        (
            ("growth: early-double}", "growth: {factor: 1, units: 1000000000}}"),
            "growth.factor 1, growth.units 1000000000 and the trigger make more than 4096 blocks",
        ),
    ],
)
def test_arms_that_no_envelope_can_be_made_for_are_refused(read: Read, change: tuple[str, str], message: str) -> None:
    ablation = read(change)

    with pytest.raises(UsageError, match=f"ablation.yaml: (arm 'grown': )?{message}"):
        all_arms(ablation)


def test_a_tuned_value_is_set_by_its_full_name(write: Callable[..., Path]) -> None:
    sets = ["tune.train.lr=[1e-3, 5e-3]", "tune.growth.entry_scale=[0.3, 1.0]"]

    assert read_ablation(write(), sets).tune == {"train.lr": (1e-3, 5e-3), "growth.entry_scale": (0.3, 1.0)}
