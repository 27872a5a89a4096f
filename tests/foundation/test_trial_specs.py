"""A TrialSpec checks itself, survives its JSON column, and a damaged row is refused with its path."""

import json
import re
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.errors import SpecError
from growlab.named import Named
from growlab.recipes import SORTS
from growlab.scalar import scalars_of, with_defaults
from growlab.specs import BudgetSpec, DataSpec, GrowthSpec, TrainSpec, TrialSpec
from growlab.study.column import trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.growth_section import growth_with

SPEC = TrialSpec(
    layout="d=64 (attn[n_heads=4] mlp[expand=2.0])x2",
    data=with_defaults(DataSpec, path="/corpus.txt", sha256="ab" * 32),
    train=with_defaults(TrainSpec),
    growth=growth_with(),
    budget=BudgetSpec(unit="flops", amount=10**15),
    curriculum=(),
    seed=7,
)


@given(lr=st.floats(1e-9, 1e9), seed=st.integers(0, 2**63 - 1), scale=st.floats(0, 1))
def test_a_spec_survives_its_json_column(lr, seed, scale):
    spec = replace(SPEC, seed=seed, train=replace(SPEC.train, lr=lr), growth=replace(SPEC.growth, entry_scale=scale))

    assert trial_spec_from_mapping(json.loads(json.dumps(trial_spec_to_mapping(spec)))) == spec


def test_a_row_from_before_there_were_shapes_of_decay_means_a_straight_line():
    row = trial_spec_to_mapping(replace(SPEC, train=replace(SPEC.train, decay_shape="linear")))
    del row["train"]["decay_shape"]

    assert trial_spec_from_mapping(row).train.decay_shape == "linear"


@pytest.mark.parametrize("row", [[1], "word", 7])
def test_a_row_that_is_no_mapping_is_refused(row):
    with pytest.raises(SpecError, match=f"^trial: must be a mapping, got {re.escape(repr(row))}$"):
        trial_spec_from_mapping(row)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("train", {"lr": 0.0}, "train.lr must be greater than 0, got 0.0"),
        ("train", {"lr": float("inf")}, "train.lr must be a finite number, got inf"),
        ("train", {"batch_size": 0}, "train.batch_size must be at least 1, got 0"),
        ("train", {"dropout": 1.0}, "train.dropout must be at least 0 and below 1, got 1.0"),
        ("train", {"min_lr_ratio": 1.5}, "train.min_lr_ratio must be between 0 and 1, got 1.5"),
        ("train", {"weight_decay": -0.1}, "train.weight_decay must be at least 0, got -0.1"),
        ("train", {"precision": "fp8"}, "train.precision must be auto, fp32 or bf16, got 'fp8'"),
        ("train", {"decay_shape": "step"}, "train.decay_shape must be linear or cosine, got 'step'"),
        ("train", {"warmup_fraction": 0.7}, "train.warmup_fraction + train.decay_fraction must be at most 1"),
        ("growth", {"freeze_steps": -1}, "growth.freeze_steps must be at least 0, got -1"),
        ("growth", {"history_window_size": 2}, "growth.history_window_size must be at least 3 (a curvature"),
        ("growth", {"unit": "d=8 attn"}, "growth.unit must be 'last' or blocks: blocks 'd=8 attn' must not"),
        ("budget", {"amount": 0}, "budget.amount must be at least 1, got 0"),
        ("budget", {"unit": "hours"}, "budget.unit must be flops, tokens or steps, got 'hours'"),
        ("data", {"tokenizer": "bpe"}, "data.vocab_size must be at least 256 for data.tokenizer bpe, got 0"),
        ("data", {"val_fraction": 0.0}, "data.val_fraction must be between 0 and 1, got 0.0"),
        ("data", {"test_fraction": 1.0}, "data.test_fraction must be at least 0 and below 1, got 1.0"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_its_key(section, change, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        replace(getattr(SPEC, section), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tau_crit": float("nan")}, "growth.trigger.stagnation.tau_crit must be a number, got nan"),
        ({"patience": 0}, "growth.trigger.stagnation.patience must be at least 1, got 0"),
        ({"beta0": -1.0}, "growth.operator.aiether.beta0 must be at least 0, got -1.0"),
    ],
)
def test_an_option_of_a_part_out_of_its_range_is_refused_with_its_full_name(change, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        growth_with(trigger="stagnation", **change)


def test_a_row_of_before_there_were_parts_reads_as_it_was_meant():
    flat = {"trigger": "stagnation", "operator": "aiether", "patience": 3, "threshold": 0.1, "tau_crit": 1.5}
    flat |= {
        "kappa_crit": 0.4,
        "warmup_steps": 9,
        "beta0": 0.2,
        "gamma0": 0.1,
        "eta0": 0.0,
        "k_subspace": 4,
        "ell_orth": 2,
    }
    row = trial_spec_to_mapping(SPEC)
    row["growth"] = {key: value for key, value in row["growth"].items() if key not in SORTS} | flat

    growth = trial_spec_from_mapping(json.loads(json.dumps(row))).growth

    stagnation = {"patience": 3, "threshold": 0.1, "tau_crit": 1.5, "kappa_crit": 0.4, "warmup_steps": 9}
    aiether = {"beta0": 0.2, "gamma0": 0.1, "eta0": 0.0, "k_subspace": 4, "ell_orth": 2}
    assert growth.trigger == Named(name="stagnation", options=stagnation)
    assert growth.operator == Named(name="aiether", options=aiether)
    assert growth.position == Named(name="append")


def test_a_layout_deeper_than_it_may_grow_is_refused():
    growth = growth_with(trigger="stagnation", max_depth=3)

    with pytest.raises(SpecError, match=r"growth\.max_depth must be at least the layout's 4 blocks, got 3"):
        replace(SPEC, growth=growth)


def test_a_layout_that_cannot_be_read_is_refused():
    with pytest.raises(SpecError, match=r"trial\.layout: layout 'attn' has no width"):
        replace(SPEC, layout="attn")


def damaged(path, value):
    """The stored spec with one key changed, or left out where the value is None."""
    raw = trial_spec_to_mapping(SPEC)
    *parents, last = path.split(".")
    section = raw
    for parent in parents:
        section = section[parent]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train.lr", None, "trial.train.lr: is missing"),
        ("seed", None, "trial.seed: is missing"),
        ("train.ler", 1, "trial.train.ler: unknown key. Did you mean 'lr'?"),
        ("train.lr", "fast", "trial.train.lr: input should be a valid number, got 'fast'"),
        ("train.batch_size", 1.5, "trial.train.batch_size: input should be a valid integer"),
        ("train.lr", -1.0, "train.lr must be greater than 0, got -1.0"),
        ("growth.preserve_function", 1, "growth.preserve_function must be true or false, got 1"),
        ("budget.unit", "hours", "trial.budget.unit: input should be 'flops', 'tokens' or 'steps', got 'hours'"),
        ("layout", "d=8", "trial.layout: layout 'd=8' has no blocks"),
    ],
)
def test_a_damaged_row_is_refused_with_the_path_of_the_damage(path, value, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        trial_spec_from_mapping(damaged(path, value))


@pytest.mark.parametrize("spec", [DataSpec, TrainSpec, GrowthSpec])
def test_every_key_of_a_spec_is_declared_once_with_a_default_of_its_type_and_a_sentence(spec):
    known = scalars_of(spec)

    assert list(known) == [each.name for each in fields(spec) if each.type is not Named]
    assert all(type(each.default) is each.type and each.help for each in known.values())


def test_a_spec_holds_no_defaults():
    with pytest.raises(TypeError, match="missing"):
        TrainSpec(**{name: value for name, value in asdict(SPEC.train).items() if name != "lr"})
