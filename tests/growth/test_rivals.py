"""Operators that follow no path: they make a new unit of old ones as they are, or of nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from growlab.growth.protocol import Grown, GrowthProtocol
from growlab.kinds import complete
from growlab.layout import parse
from growlab.model.language_model import build_model
from growlab.specs import GrowthSpec
from growlab.study.growth_section import growth_with

MakeGrowth = Callable[..., GrowthSpec]
ToyNet = Callable[..., nn.Module]  # see conftest


def grow(spec: GrowthSpec, net: nn.Module, seed: int = 0) -> list[Grown]:
    return GrowthProtocol(spec, net, seed=seed).grow(0)


def weights(unit: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in unit.named_parameters()}


def assert_equal(unit: nn.Module, expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close(weights(unit), expected, rtol=0, atol=0)


def outs(name: str) -> bool:
    return name.startswith("out.")  # of a ToyUnit


# ---- copy-middle -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "middle"), [(("thin",), 0), (("thin", "wide"), 0), (("thin", "wide", "thin wide"), 1), (("thin",) * 4, 1)]
)
def test_copy_middle_is_the_middle_unit_whatever_its_kinds(
    toy_net: ToyNet, make_growth: MakeGrowth, units: tuple[str, ...], middle: int
) -> None:
    net = toy_net(*units)
    expected = weights(net.units[middle])

    [grown] = grow(make_growth(operator="copy-middle", entry_scale=1.0), net)

    assert_equal(net.units[-1], expected)
    assert (grown.operator, grown.original) == ("copy-middle", net.units[middle])


def test_copy_middle_of_other_blocks_is_the_middle_one_of_those(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    net = toy_net("wide", "thin", "thin", "thin wide", "thin")
    expected = weights(net.units[2])

    grow(make_growth(operator="copy-middle", unit="thin", entry_scale=1.0), net)

    assert_equal(net.units[-1], expected)


# ---- split -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry_scale", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("plan", "n_alike"), [({"factor": 2}, 1), ({"factor": 3}, 2), ({"factor": 3, "position": "append"}, 2)]
)
def test_split_shares_the_work_of_each_old_unit_with_all_that_are_modelled_on_it(
    toy_net: ToyNet, make_growth: MakeGrowth, plan: dict[str, object], n_alike: int, entry_scale: float
) -> None:
    net = toy_net("thin", "thin wide")
    old, before = list(net.units), [weights(unit) for unit in net.units]

    grown = grow(
        make_growth(operator="split", **({"position": "interleaved"} | plan), entry_scale=entry_scale, max_depth=99),
        net,
    )

    share = entry_scale / (n_alike + 1)
    assert len(grown) == 2 * n_alike
    for unit in [*grown, *old]:
        of = unit if isinstance(unit, nn.Module) else unit.original
        factor = 1 - n_alike * share if isinstance(unit, nn.Module) else share
        expected = {name: weight * (factor if outs(name) else 1) for name, weight in before[old.index(of)].items()}
        torch.testing.assert_close(weights(getattr(unit, "unit", unit)), expected)


def test_two_units_that_are_modelled_on_the_same_one_share_with_it_alone(
    toy_net: ToyNet, make_growth: MakeGrowth
) -> None:
    net = toy_net("thin", "thin")
    before = [weights(unit) for unit in net.units]

    grow(make_growth(operator="split", units=3, position="prepend", entry_scale=1.0), net)  # of 0, 1 and 0

    factors = [
        float(weights(unit)["out.0.weight"][0, 0] / before[of]["out.0.weight"][0, 0])
        for unit, of in zip(net.units, [0, 1, 0, 0, 1], strict=True)
    ]
    assert factors == pytest.approx([1 / 3, 1 / 2, 1 / 3, 1 / 3, 1 / 2])


def test_split_at_scale_0_changes_no_old_bit_and_not_the_function(
    toy_net: ToyNet, toy_inputs: Tensor, make_growth: MakeGrowth
) -> None:
    net = toy_net("thin", "thin wide")
    before, output = [weights(unit) for unit in net.units], net(toy_inputs)

    grow(make_growth(operator="split", factor=3, position="interleaved", entry_scale=0.0, max_depth=99), net)

    for at, expected in enumerate(before):
        assert_equal(net.units[3 * at], expected)
    assert torch.equal(net(toy_inputs), output)


def test_halves_beside_each_other_are_the_whole(toy_net: ToyNet, toy_inputs: Tensor, make_growth: MakeGrowth) -> None:
    net = toy_net("thin")
    branch = net.units[0](toy_inputs) - toy_inputs

    grow(make_growth(operator="split", entry_scale=1.0), net)

    halves = sum(unit(toy_inputs) - toy_inputs for unit in net.units)
    torch.testing.assert_close(halves, branch)


# ---- random ----------------------------------------------------------------------------------------------------


def test_random_is_loud_and_identity_is_not(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    loud, half, silent = toy_net("thin"), toy_net("thin"), toy_net("thin")

    [grown] = grow(make_growth(operator="random", entry_scale=1.0), loud)
    grow(make_growth(operator="random", entry_scale=0.5), half)
    grow(make_growth(operator="identity", entry_scale=1.0), silent)

    fresh = weights(loud.units[1])
    assert (grown.operator, grown.original) == ("random", None)
    assert all(weight.abs().sum() > 0 for weight in fresh.values())
    assert_equal(half.units[1], {name: weight * (0.5 if outs(name) else 1) for name, weight in fresh.items()})
    assert_equal(silent.units[1], {name: weight * (0 if outs(name) else 1) for name, weight in fresh.items()})


# ---- average ---------------------------------------------------------------------------------------------------


def test_average_is_the_mean_of_all_units_of_the_same_kinds(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    net = toy_net("thin", "wide", "thin", "thin")
    alike = [weights(net.units[at]) for at in (0, 2, 3)]

    [grown] = grow(make_growth(operator="average", entry_scale=1.0), net)

    expected = {name: (alike[0][name] + alike[1][name] + alike[2][name]) / 3 for name in alike[0]}
    torch.testing.assert_close(weights(net.units[-1]), expected)
    assert (grown.operator, grown.original) == ("average", None)


@pytest.mark.parametrize("name", ["average", "copy-middle"])
def test_without_a_unit_of_its_kinds_a_new_one_enters_silent(
    toy_net: ToyNet, toy_inputs: Tensor, make_growth: MakeGrowth, name: str
) -> None:
    net = toy_net("thin", "thin wide")
    before = net(toy_inputs)

    [grown] = grow(make_growth(operator=name, unit="wide", entry_scale=1.0), net)

    assert (grown.operator, grown.original) == ("identity", None)
    assert torch.equal(net(toy_inputs), before)


# ---- language models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["copy-middle", "split", "random", "average"])
@pytest.mark.parametrize("position", ["append", "interleaved"])
@torch.no_grad()
def test_at_scale_0_a_hybrid_computes_what_it_did(name: str, position: str) -> None:
    layout = complete(parse("d=32 attn mlp mamba mix(attn,ssm) moe hebbian"))
    model = build_model(layout, vocab_size=13, max_depth=24, dropout=0.0, seed=0).eval()
    ids = torch.randint(13, (2, 16), generator=torch.Generator().manual_seed(0))
    before = model(ids)

    grow(growth_with(operator=name, position=position, factor=2, entry_scale=0.0, trigger="at", max_depth=99), model)

    torch.testing.assert_close(model(ids), before, rtol=0, atol=1e-5)
