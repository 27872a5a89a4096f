"""The course of a growth, on a network that growlab has never heard of and on language models."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from growlab.errors import SpecError
from growlab.growth.growable import Growable
from growlab.growth.identity import named_by_identity
from growlab.growth.moment import Moment
from growlab.growth.protocol import Grown, GrowthProtocol
from growlab.growth.source import Made, Source, tensor_by_tensor
from growlab.kinds import complete
from growlab.layout import parse, parse_blocks
from growlab.model.language_model import LanguageModel, build_model, short_unit_text
from growlab.named import Named
from growlab.recipes import OPERATORS, OperatorOptions, register_operator
from growlab.records import TrajectoryPoint
from growlab.specs import GrowthSpec

MakeGrowth = Callable[..., GrowthSpec]
ToyNet = Callable[..., nn.Module]  # see conftest


def stagnant(step: int) -> Moment:
    """An evaluation after a path that is long and bent."""
    path = TrajectoryPoint(
        step=step,
        unit=0,
        tensor="",
        n_increments=4,
        tau=9.0,
        kappa=9.0,
        diffusion_exponent=None,
        drift_to_noise=None,
        drift_z=None,
        path=9.0,
        displacement=1.0,
    )
    return Moment(step=step, progress=0.5, flops=0, train_loss=1.0, val_loss=1.0, path=path)


class Training:
    """The caller's side: AdamW with a strong weight decay, one snapshot per step."""

    def __init__(self, net: nn.Module, spec: GrowthSpec, inputs: Tensor) -> None:
        self.net, self.inputs, self.step = net, inputs, 0
        self.protocol = GrowthProtocol(spec, net, seed=7)
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.5)

    def run(self, steps: int) -> list[bool]:
        """For each step, whether what is frozen changed after it."""
        return [self._one_step() for _ in range(steps)]

    def grow(self) -> Grown:
        [grown] = self.protocol.grow(self.step)
        self.optimizer.add_param_group({"params": list(grown.unit.parameters())})
        return grown

    def stagnant_check(self) -> bool:
        return self.protocol.ask_trigger(stagnant(self.step))

    def _one_step(self) -> bool:
        self.net(self.inputs).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        changed = self.protocol.advance_to(self.step)
        self.protocol.window.snapshot(self.net.units[self.protocol.watched])
        return changed


def weights(*modules: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for module in modules for parameter in module.parameters()]


def all_equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(map(torch.equal, left, right))


def test_a_foreign_module_is_growable(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    net: Growable = toy_net("thin")

    GrowthProtocol(make_growth(), net, seed=0).grow(0)

    assert [net.blocks_of(unit) for unit in net.units] == [parse_blocks("thin")] * 2


# ---- phases ----------------------------------------------------------------------------------------------------


def test_warm_up_cool_down_and_train_follow_one_another_at_their_steps(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("thin"), make_growth(freeze_steps=3, cooldown_steps=2), toy_inputs)
    training.run(5)

    training.grow()
    phases = [training.protocol.phase]
    for _ in range(6):
        training.run(1)
        phases.append(training.protocol.phase)

    assert phases == ["warm-up"] * 3 + ["cool-down"] * 2 + ["train"] * 2


def test_in_the_warm_up_only_the_new_unit_is_trained(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin", "wide")
    training = Training(net, make_growth(freeze_steps=10), toy_inputs)
    training.run(5)
    grown = training.grow()
    old, new = weights(net.units[0], net.units[1], net.head), weights(grown.unit)

    training.run(9)

    assert all_equal(weights(net.units[0], net.units[1], net.head), old)  # bit for bit, weight decay included
    assert not any(map(torch.equal, weights(grown.unit), new))


def test_everything_is_trained_again_after_exactly_freeze_steps(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin")
    training = Training(net, make_growth(freeze_steps=4), toy_inputs)
    training.run(3)
    training.grow()
    old = weights(net.units[0], net.head)

    changed = training.run(4)
    frozen_to_the_end = all_equal(weights(net.units[0], net.head), old)
    training.run(1)

    assert changed == [False, False, False, True]
    assert frozen_to_the_end
    assert not any(map(torch.equal, weights(net.units[0], net.head), old))


def test_a_frozen_parameter_has_no_gradient_left_from_before(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin")
    protocol = GrowthProtocol(make_growth(), net, seed=0)
    net(toy_inputs).sum().backward()

    protocol.grow(0)

    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(("cooldown_steps", "phase"), [(2, "cool-down"), (0, "train")])
def test_without_freezing_everything_trains_at_once(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor, cooldown_steps: int, phase: str
) -> None:
    net = toy_net("thin")
    training = Training(net, make_growth(freeze_steps=0, cooldown_steps=cooldown_steps), toy_inputs)
    training.run(3)
    training.grow()
    entered, old = training.protocol.phase, weights(net)

    training.run(2)

    assert entered == phase
    assert not any(map(torch.equal, weights(net.units[0], net.head), old))
    assert training.protocol.phase == "train"


def test_without_a_cool_down_checks_begin_when_the_warm_up_ends(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("thin"), make_growth(freeze_steps=2, cooldown_steps=0), toy_inputs)
    training.grow()

    training.run(2)

    assert training.protocol.phase == "train"


# ---- when ------------------------------------------------------------------------------------------------------


def test_no_check_is_made_in_warm_up_and_cool_down(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("thin"), make_growth(freeze_steps=3, cooldown_steps=2), toy_inputs)
    training.stagnant_check()
    assert training.stagnant_check()
    training.grow()

    answers = []
    for _ in range(6):
        answers.append(training.stagnant_check())
        training.run(1)

    assert answers == [False] * 5 + [True]  # steps 0 to 4 are warm-up and cool-down


def test_growth_starts_the_count_of_stagnant_checks_anew(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("thin"), make_growth(patience=2, freeze_steps=0, cooldown_steps=0), toy_inputs)
    before = [training.stagnant_check() for _ in range(3)]
    training.grow()

    after = [training.stagnant_check() for _ in range(2)]

    assert (before, after) == ([False, False, True], [False, True])


def test_no_check_is_made_in_the_first_steps(toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor) -> None:
    training = Training(toy_net("thin"), make_growth(warmup_steps=4), toy_inputs)

    answers = []
    for _ in range(6):
        answers.append(training.stagnant_check())
        training.run(1)

    assert answers == [False] * 4 + [True, True]


@pytest.mark.parametrize(("unit", "max_depth", "fits"), [("last", 3, False), ("last", 4, True), ("thin", 3, True)])
def test_it_never_asks_for_more_blocks_than_max_depth(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor, unit: str, max_depth: int, fits: bool
) -> None:
    training = Training(toy_net("thin wide"), make_growth(unit=unit, max_depth=max_depth), toy_inputs)

    answers = [training.stagnant_check() for _ in range(5)]

    assert answers == [False, *[fits] * 4]


def test_it_never_grows_nor_takes_snapshots_when_told_not_to(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    protocol = GrowthProtocol(make_growth(trigger="never", collect_interval_steps=1), toy_net("thin"), seed=0)

    assert not any(protocol.ask_trigger(stagnant(step)) for step in range(9))
    assert not any(protocol.snapshot_due(step) for step in range(9))


def test_snapshots_are_due_at_every_interval(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    protocol = GrowthProtocol(make_growth(collect_interval_steps=3), toy_net("thin"), seed=0)

    assert [step for step in range(1, 10) if protocol.snapshot_due(step)] == [3, 6, 9]


# ---- what ------------------------------------------------------------------------------------------------------


def test_a_unit_is_appended_at_the_output_side_and_watched_with_an_empty_window(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin", "wide")
    training = Training(net, make_growth(), toy_inputs)
    training.run(4)

    grown = training.grow()

    assert (grown.position, grown.blocks) == (2, parse_blocks("wide"))
    assert net.units[2] is grown.unit
    assert training.protocol.watched == 2
    assert len(training.protocol.window) == 0
    assert training.protocol.n_grown == 1


@pytest.mark.parametrize("operator", ["aiether", "aiether-code", "copy-last", "identity"])
def test_growth_leaves_the_function_as_it_was(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor, operator: str
) -> None:
    net = toy_net("thin wide")
    training = Training(net, make_growth(operator=operator, entry_scale=0.0), toy_inputs)
    training.run(8)
    before = net(toy_inputs)

    grown = training.grow()

    assert grown.operator == operator
    torch.testing.assert_close(net(toy_inputs), before, rtol=0, atol=1e-6)
    assert all(not projection.any() for projection in net.out_projections(grown.unit))


def test_the_interior_of_a_preserving_unit_is_what_the_operator_says(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin wide")
    training = Training(net, make_growth(operator="copy-last", entry_scale=0.0), toy_inputs)
    training.run(8)

    grown = training.grow()

    assert all_equal(weights(grown.unit.inner), weights(net.units[0].inner))


def test_copy_last_without_preserving_is_an_exact_copy_and_a_jump(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin wide")
    training = Training(net, make_growth(operator="copy-last", entry_scale=1.0), toy_inputs)
    training.run(8)
    before = net(toy_inputs)

    grown = training.grow()

    assert all_equal(weights(grown.unit), weights(net.units[0]))
    assert not torch.allclose(net(toy_inputs), before, atol=1e-3)


@pytest.mark.parametrize("operator", ["aiether", "aiether-code"])
def test_an_extrapolated_unit_is_no_copy(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor, operator: str
) -> None:
    net = toy_net("thin")
    training = Training(net, make_growth(operator=operator, entry_scale=1.0), toy_inputs)
    training.run(8)

    grown = training.grow()

    assert not any(map(torch.equal, weights(grown.unit), weights(net.units[0])))


@pytest.mark.parametrize("entry_scale", [0.0, 1.0])
def test_a_unit_of_other_kinds_enters_fresh_and_as_the_identity(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor, entry_scale: float
) -> None:
    net = toy_net("thin")
    spec = make_growth(operator="copy-last", unit="wide", entry_scale=entry_scale)
    training = Training(net, spec, toy_inputs)
    training.run(8)
    before = net(toy_inputs)

    grown = training.grow()

    assert (grown.operator, grown.blocks) == ("identity", parse_blocks("wide"))
    torch.testing.assert_close(net(toy_inputs), before, rtol=0, atol=1e-6)
    assert all(bool(each.any()) for each in grown.unit.inner.parameters())


def test_a_unit_of_kinds_given_in_words_is_extrapolated_when_the_top_unit_has_them(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("wide", "thin wide"), make_growth(operator="copy-last", unit="thin wide"), toy_inputs)
    training.run(3)

    assert training.grow().operator == "copy-last"


def test_an_empty_window_has_nothing_to_extrapolate_so_the_unit_enters_as_the_identity(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    training = Training(toy_net("thin"), make_growth(operator="aiether"), toy_inputs)

    assert training.grow().operator == "identity"


def test_a_window_of_one_snapshot_gives_a_copy(toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor) -> None:
    net = toy_net("thin")
    training = Training(net, make_growth(operator="aiether", entry_scale=1.0), toy_inputs)
    training.run(1)

    grown = training.grow()

    assert all_equal(weights(grown.unit), weights(net.units[0]))


def test_a_fresh_unit_depends_on_the_seed_and_the_count_alone(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    def interior(draws: int, seed: int) -> list[Tensor]:
        protocol = GrowthProtocol(make_growth(operator="identity"), toy_net("thin"), seed=seed)
        torch.rand(draws)  # such as dropout makes them
        return weights(protocol.grow(0)[0].unit.inner)

    assert all_equal(interior(draws=0, seed=3), interior(draws=1000, seed=3))
    assert not all_equal(interior(draws=0, seed=3), interior(draws=0, seed=4))


def test_the_second_fresh_unit_is_not_the_first_one_again(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    protocol = GrowthProtocol(make_growth(operator="identity"), toy_net("thin"), seed=0)

    first, second = (weights(protocol.grow(0)[0].unit.inner) for _ in range(2))

    assert not all_equal(first, second)


def test_growth_leaves_the_generator_of_dropout_alone(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    protocol = GrowthProtocol(make_growth(operator="identity"), toy_net("thin"), seed=0)
    before = torch.get_rng_state()

    protocol.grow(0)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is there for that test alone."""
    monkeypatch.setattr(OPERATORS, "_entries", dict(OPERATORS._entries))


@pytest.mark.usefixtures("operators")
def test_an_operator_that_gives_another_shape_is_refused_and_not_broadcast(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    register_operator("mean", "one number for all of a tensor")(
        tensor_by_tensor(lambda path, options, source: path.last.mean())
    )
    training = Training(toy_net("thin"), make_growth(operator="mean"), toy_inputs)
    training.run(3)

    with pytest.raises(ValueError, match=r"^growth operator 'mean' gave inner\.0\.weight the shape \(\); .* \(4, 6\)$"):
        training.grow()
    assert len(training.net.units) == 1


@pytest.mark.usefixtures("operators")
def test_an_operator_sees_all_units_and_may_change_old_ones_with_the_new_one(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    """As a split does: both halves of what was one unit."""

    @register_operator("halves", "the top unit, half in its old place and half in the new one")
    def halves(source: Source, options: OperatorOptions) -> Made:
        half = {name: parameter / 2 for name, parameter in source.units[-1].named_parameters()}
        return Made(new=half, old={len(source.units) - 1: half})

    net = toy_net("wide", "thin")
    below, top = weights(net.units[0]), weights(net.units[1])
    training = Training(net, make_growth(operator="halves", entry_scale=1.0), toy_inputs)

    grown = training.grow()

    assert all_equal(weights(net.units[0]), below)
    assert all_equal(weights(net.units[1]), [each / 2 for each in top])
    assert all_equal(weights(grown.unit), [each / 2 for each in top])


def test_a_unit_that_enters_below_leaves_the_identities_of_the_others(
    toy_net: ToyNet, make_growth: MakeGrowth, toy_inputs: Tensor
) -> None:
    net = toy_net("thin", "thin")
    training = Training(net, make_growth(position="prepend"), toy_inputs)
    before = dict(named_by_identity(net, training.protocol.unit_identities))

    training.run(3)
    grown = training.grow()

    after = dict(named_by_identity(net, training.protocol.unit_identities))
    assert grown.position == training.protocol.watched == 0
    assert training.protocol.unit_identities == [2, 0, 1]
    assert all(after[name] is parameter for name, parameter in before.items())
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"2"}


# ---- language models -------------------------------------------------------------------------------------------


@pytest.fixture
def hybrid() -> LanguageModel:
    layout = parse("d=16 attn[n_heads=2] mlp conv mlp")
    return build_model(layout, vocab_size=11, max_depth=8, dropout=0.0, seed=0)


@pytest.mark.parametrize(
    ("unit", "operator", "inserted"),
    [
        ("last", "copy-last", "conv mlp"),
        ("conv mlp", "copy-last", "conv mlp"),
        ("conv[kernel=4] mlp", "copy-last", "conv mlp"),
        ("conv[kernel=3] mlp", "identity", "conv[kernel=3] mlp"),
        ("attn[n_heads=2] mlp", "identity", "attn[n_heads=2] mlp"),
        ("mlp", "identity", "mlp"),
    ],
)
def test_a_mixed_language_model_copies_only_what_equals_its_top_unit(
    hybrid: LanguageModel, make_growth: MakeGrowth, unit: str, operator: str, inserted: str
) -> None:
    protocol = GrowthProtocol(make_growth(operator="copy-last", unit=unit), hybrid, seed=0)
    protocol.window.snapshot(hybrid.units[1])
    ids = torch.arange(10).view(1, 10)
    before = hybrid(ids)

    [grown] = protocol.grow(0)

    assert (grown.position, grown.operator, short_unit_text(grown.blocks)) == (2, operator, inserted)
    assert hybrid.layout == complete(parse(f"d=16 attn[n_heads=2] mlp conv mlp {inserted}"))
    torch.testing.assert_close(hybrid(ids), before, rtol=0, atol=1e-6)


def test_a_copied_unit_of_a_language_model_equals_its_source_but_for_the_out_projections(
    hybrid: LanguageModel, make_growth: MakeGrowth
) -> None:
    protocol = GrowthProtocol(make_growth(operator="copy-last"), hybrid, seed=0)
    protocol.window.snapshot(hybrid.units[1])

    protocol.grow(0)

    source, copy = (dict(unit.named_parameters()) for unit in (hybrid.units[1], hybrid.units[2]))
    differing = [name for name in source if not torch.equal(source[name], copy[name])]
    assert differing == ["0.mixer.out_proj.weight", "1.mixer.out_proj.weight"]


def test_a_unit_that_grew_is_in_the_mode_of_its_model(hybrid: LanguageModel, make_growth: MakeGrowth) -> None:
    hybrid.eval()

    [grown] = GrowthProtocol(make_growth(), hybrid, seed=0).grow(0)

    assert not any(module.training for module in grown.unit.modules())


def test_what_a_block_marks_as_copied_at_growth_is_never_extrapolated(make_growth: MakeGrowth) -> None:
    model = build_model(parse("d=16 mamba mlp"), vocab_size=7, max_depth=4, dropout=0.0, seed=0)
    protocol = GrowthProtocol(make_growth(operator="aiether-code", beta0=1.0), model, seed=0)
    for _ in range(4):  # a path that moves every tensor
        protocol.window.snapshot(model.units[0])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
    last = {name: protocol.window.path(name).last for name, _ in model.units[0].named_parameters()}

    [grown] = protocol.grow(0)

    copied = {name for name, each in grown.unit.named_parameters() if torch.equal(each, last[name])}
    assert copied == {"0.mixer.A_log", "0.mixer.D", "0.mixer.dt_bias"}


def test_each_parameter_of_a_grown_unit_is_made_of_the_path_of_its_namesake(make_growth: MakeGrowth) -> None:
    layout = parse("d=16 attn[n_heads=2,qk_norm=true,gate=true] mlp moe")
    model = build_model(layout, vocab_size=7, max_depth=6, dropout=0.0, seed=0)
    protocol = GrowthProtocol(make_growth(operator="copy-last", entry_scale=1.0), model, seed=0)
    source = model.units[0]
    for parameter in source.parameters():  # of which some begin alike
        nn.init.normal_(parameter)
    protocol.window.snapshot(source)
    expected = {name: parameter.detach().clone() for name, parameter in source.named_parameters()}

    [grown] = protocol.grow(0)

    assert expected.keys() >= {"0.mixer.q_norm.weight", "0.mixer.k_norm.weight"}
    for name, parameter in grown.unit.named_parameters():
        assert torch.equal(parameter, expected[name]), name


WHOLE = {"patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 1}, r"growth\.trigger\.stagnation\.threshold: is missing"),
        ({"patiance": 1}, r"growth\.trigger\.stagnation\.patiance: unknown key\. Did you mean 'patience'\?"),
        ({**WHOLE, "patience": "long"}, r"growth\.trigger\.stagnation\.patience must be a whole number, got 'long'"),
        ({**WHOLE, "patience": 0}, r"growth\.trigger\.stagnation\.patience must be at least 1, got 0"),
    ],
)
def test_a_recipe_that_a_person_spoilt_is_refused_with_its_path_before_anything_is_trained(
    toy_net: ToyNet, make_growth: MakeGrowth, options: dict[str, object], message: str
) -> None:
    spec = replace(make_growth(), trigger=Named(name="stagnation", options=options))

    with pytest.raises(SpecError, match=f"^{message}"):
        GrowthProtocol(spec, toy_net("thin"), seed=0)
