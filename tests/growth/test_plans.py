"""Several units in one growth: where they enter, what they are made of, how loudly, and that silence is exact."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import growlab.blocks  # noqa: F401  (fills the table of kinds)
from growlab.growth.identity import named_by_identity
from growlab.growth.moment import Moment
from growlab.growth.protocol import GrowthProtocol
from growlab.growth.source import Source, Weights
from growlab.growth.window import Window
from growlab.kinds import KINDS, block_kinds, complete
from growlab.layout import format_layout, parse
from growlab.model.language_model import LanguageModel, build_model
from growlab.plan import final_layout
from growlab.recipes import OPERATORS, POSITIONS, Entry
from growlab.specs import GrowthSpec
from growlab.study.growth_section import growth_with

MakeGrowth = Callable[..., GrowthSpec]
ToyNet = Callable[..., nn.Module]  # see conftest
VOCAB = 13


def positions_of(name: str, n_units: int, n_new: int, **options: Any) -> list[tuple[int, int]]:
    part = POSITIONS[name]
    entries: list[Entry] = part.make(n_units, n_new, part.read(options))
    return [(entry.gap, entry.origin) for entry in entries]


@pytest.mark.parametrize(
    ("name", "options", "n_units", "n_new", "entries"),
    [
        ("append", {}, 3, 1, [(3, 2)]),
        ("append", {}, 3, 3, [(3, 0), (3, 1), (3, 2)]),
        ("append", {}, 2, 6, [(2, 0), (2, 1), (2, 0), (2, 1), (2, 0), (2, 1)]),
        ("prepend", {}, 3, 2, [(0, 0), (0, 1)]),
        ("after", {"unit": 1}, 4, 1, [(2, 1)]),
        ("after", {"unit": 1}, 4, 4, [(2, 0), (2, 1), (2, 2), (2, 3)]),
        ("after", {"unit": 9}, 2, 1, [(2, 1)]),
        ("middle", {}, 4, 2, [(2, 0), (2, 1)]),
        ("middle", {}, 1, 1, [(1, 0)]),
        ("interleaved", {}, 3, 3, [(1, 0), (2, 1), (3, 2)]),
        ("interleaved", {}, 2, 4, [(1, 0), (1, 0), (2, 1), (2, 1)]),
        ("interleaved", {}, 4, 2, [(2, 1), (4, 3)]),
    ],
)
def test_new_units_enter_where_their_position_says(
    name: str, options: dict[str, Any], n_units: int, n_new: int, entries: list[tuple[int, int]]
) -> None:
    assert positions_of(name, n_units, n_new, **options) == entries


# ---- on a network that growlab has never heard of --------------------------------------------------------------


def parameters(unit: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in unit.parameters()]


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))


@pytest.mark.parametrize(
    ("position", "origins", "identities"),
    [
        ("append", [0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5]),
        ("interleaved", [0, 0, 1, 1, 2, 2], [0, 3, 1, 4, 2, 5]),
        ("prepend", [0, 1, 2, 0, 1, 2], [3, 4, 5, 0, 1, 2]),
        ("middle", [0, 1, 0, 1, 2, 2], [0, 1, 3, 4, 5, 2]),
    ],
)
def test_a_doubling_stacks_every_unit_again_whatever_its_kinds(
    toy_net: ToyNet, make_growth: MakeGrowth, position: str, origins: list[int], identities: list[int]
) -> None:
    net = toy_net("thin", "wide", "thin wide")
    before = [parameters(unit) for unit in net.units]
    protocol = GrowthProtocol(make_growth(operator="stack", factor=2, entry_scale=1.0, position=position), net, seed=0)

    grown = protocol.grow(0)

    assert all(equal(parameters(unit), before[origin]) for unit, origin in zip(net.units, origins, strict=True))
    assert protocol.unit_identities == identities
    assert [unit.operator for unit in grown] == ["stack"] * 3
    assert [net.units[unit.position] for unit in grown] == [unit.unit for unit in grown]
    assert [unit.original for unit in grown] == [net.units[identities.index(origin)] for origin in range(3)]


def test_several_units_of_one_growth_are_made_of_the_newest_by_an_operator_that_follows_a_path(
    toy_net: ToyNet, make_growth: MakeGrowth
) -> None:
    net = toy_net("thin", "wide")
    protocol = GrowthProtocol(make_growth(operator="copy-last", units=3, entry_scale=1.0), net, seed=0)
    protocol.window.snapshot(net.units[1])

    protocol.grow(0)

    assert all(equal(parameters(unit), parameters(net.units[1])) for unit in net.units[2:])
    assert len(net.units) == 5


# ---- made of the paths of several units ------------------------------------------------------------------------

FOLLOWERS = ["aiether", "aiether-code", "forecast", "random-direction", "reversed", "time-shuffled"]


def wander(net: nn.Module, protocol: GrowthProtocol, snapshots: int) -> dict[int, list[dict[str, Tensor]]]:
    """Move every unit with a drift of its own, watched as in a trial. Returns the weights at each snapshot, by unit."""
    random = torch.Generator().manual_seed(0)
    drifts = {name: torch.randn(parameter.shape, generator=random) for name, parameter in net.named_parameters()}
    seen: dict[int, list[dict[str, Tensor]]] = {at: [] for at in range(len(net.units))}
    for _ in range(snapshots):
        protocol.snapshot()
        for at, unit in enumerate(net.units):
            seen[at].append({name: parameter.detach().clone() for name, parameter in unit.named_parameters()})
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter += 0.01 * (drifts[name] + 0.3 * torch.randn(parameter.shape, generator=random))
    return seen


def of_one_path(
    protocol: GrowthProtocol, weights: list[dict[str, Tensor]], new: nn.Module, seed: int, keeps: torch.dtype
) -> Weights:
    """What the protocol's operator makes of these snapshots, as of a model of one unit."""
    window, unit = Window(len(weights), keeps), deepcopy(new)
    for snapshot in weights:
        unit.load_state_dict(snapshot)
        window.snapshot(unit)
    part = OPERATORS[protocol.spec.operator.name]
    alone = Source(
        units=[unit],
        unit=new,
        position=1,
        origin=0,
        n_alike=1,
        watched=0,
        windows={0: window},
        same_kinds=lambda one, other: True,
        out_projections=lambda unit: [],
        norm_gains=lambda unit: [],
        critical={"tau": 0.0, "kappa": 0.0},
        entry_scale=1.0,
        seed=seed,
    )
    return part.make(alone, part.read(protocol.spec.operator.options)).new


@pytest.mark.parametrize("operator", FOLLOWERS)
@pytest.mark.parametrize(
    ("plan", "origins"),
    [
        ({"factor": 2}, [0, 1, 2]),
        ({"factor": 2, "position": "interleaved"}, [0, 1, 2]),
        ({"factor": 2, "position": "prepend"}, [0, 1, 2]),
        ({"units": 2, "position": {"after": {"unit": 1}}}, [0, 1]),
        ({"units": 2, "position": "middle"}, [0, 1]),
        ({"position": "prepend"}, [0]),
        ({}, [2]),
    ],
)
def test_each_new_unit_is_made_of_the_path_of_the_unit_that_its_position_names(
    toy_net: ToyNet, make_growth: MakeGrowth, operator: str, plan: dict[str, Any], origins: list[int]
) -> None:
    net = toy_net("thin", "wide", "thin wide")
    protocol = GrowthProtocol(make_growth(operator=operator, entry_scale=1.0, max_depth=20, **plan), net, seed=0)
    seen, old = wander(net, protocol, snapshots=7), list(net.units)
    with torch.no_grad():  # a growth comes some steps after the last snapshot
        for parameter in net.parameters():
            parameter += 1

    grown = protocol.grow(0)

    assert [unit.operator for unit in grown] == [operator] * len(origins)
    assert [unit.original for unit in grown] == [old[origin] for origin in origins]
    for at, (unit, origin) in enumerate(zip(grown, origins, strict=True)):
        own = seen[origin][-5:]
        keeps = torch.float32 if origin == 2 else torch.bfloat16  # the newest unit's are not rounded
        expected = of_one_path(protocol, own, unit.unit, seed=1 + at, keeps=keeps)
        whole = of_one_path(protocol, own, unit.unit, seed=1 + at, keeps=torch.float32)
        for name, parameter in unit.unit.named_parameters():
            assert torch.equal(parameter, expected[name])
            step = (whole[name] - own[-1][name]).norm()
            assert 0 <= (parameter.detach() - whole[name]).norm() < 0.05 * step


def test_a_unit_on_top_is_the_same_whoever_is_watched_besides(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    plans = [make_growth(operator="aiether", entry_scale=1.0, watch=watch) for watch in ("newest", "all")]
    nets = [toy_net("thin", "thin") for _ in plans]
    nets[1].load_state_dict(nets[0].state_dict())

    for net, plan in zip(nets, plans, strict=True):
        wander(net, protocol := GrowthProtocol(plan, net, seed=0), snapshots=7)
        protocol.grow(0)

    assert equal(*map(parameters, nets))


def test_where_the_newest_unit_alone_is_watched_all_are_made_of_its_path(
    toy_net: ToyNet, make_growth: MakeGrowth
) -> None:
    net = toy_net("thin", "wide", "thin")
    plan = make_growth(operator="forecast", factor=2, watch="newest", entry_scale=1.0, max_depth=9)
    protocol = GrowthProtocol(plan, net, seed=0)
    wander(net, protocol, snapshots=7)

    grown = protocol.grow(0)

    assert len(grown) == 3
    assert all(equal(parameters(unit.unit), parameters(grown[0].unit)) for unit in grown)
    assert {unit.blocks for unit in grown} == {net.blocks_of(net.units[2])}


@pytest.mark.parametrize(
    ("plan", "whole", "sketched"),
    [
        ({"operator": "aiether", "factor": 2}, {0, 1}, set()),
        ({"operator": "aiether", "position": "prepend"}, {0}, {1}),
        ({"operator": "aiether"}, set(), {0, 1}),
        ({"operator": "stack", "factor": 2}, set(), {0, 1}),
        ({"operator": "copy-last", "factor": 2}, set(), {0, 1}),
        ({"operator": "aiether", "factor": 2, "watch": "newest"}, set(), set()),
        ({"operator": "aiether", "position": "prepend", "unit": "thin"}, set(), {0, 1}),  # of the newest such unit
        ({"operator": "aiether", "factor": 2, "max_depth": 4}, set(), {0, 1}),
    ],
)
def test_a_path_is_kept_whole_where_the_next_growth_needs_it_and_sketched_elsewhere(
    toy_net: ToyNet, make_growth: MakeGrowth, plan: dict[str, Any], whole: set[int], sketched: set[int]
) -> None:
    net = toy_net("thin", "wide", "thin")
    protocol = GrowthProtocol(make_growth(**{"max_depth": 9, **plan}), net, seed=0)

    wander(net, protocol, snapshots=4)

    tracks = [track for path in protocol.paths.others.values() for track in path.tracks.values()]
    assert set(protocol.paths.others) == whole
    assert set(protocol.paths.sketches.statistics()) == sketched
    assert all(track.increments[0].dtype == torch.bfloat16 for track in tracks)
    assert all(track.last.dtype == torch.float32 for track in tracks)
    assert protocol.window.path("inner.0.weight").increments[0].dtype == torch.float32


def test_no_path_is_kept_whole_once_a_plan_is_over(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    net = toy_net("thin", "wide")
    plan = make_growth(operator="aiether", factor=2, trigger={"at": {"shares": "0.1 0.2"}}, max_depth=99)
    protocol, kept = GrowthProtocol(plan, net, seed=0), []

    for step in range(3):
        wander(net, protocol, snapshots=3)
        kept.append(len(protocol.paths.others))
        protocol.grow(step)

    assert kept == [1, 3, 0]


@pytest.mark.parametrize("entry_scale", [0.0, 0.25, 1.0])
def test_the_entry_scale_multiplies_the_out_projections_and_nothing_else(
    toy_net: ToyNet, make_growth: MakeGrowth, entry_scale: float
) -> None:
    net = toy_net("thin", "wide")
    protocol = GrowthProtocol(make_growth(operator="stack", factor=2, entry_scale=entry_scale), net, seed=0)

    protocol.grow(0)

    for unit, origin in zip(net.units[2:], net.units[:2], strict=True):
        outs = {id(parameter) for parameter in net.out_projections(unit)}
        for new, old in zip(unit.parameters(), origin.parameters(), strict=True):
            assert torch.equal(new, old * entry_scale if id(new) in outs else old)


def test_all_units_of_a_growth_warm_up_together_and_those_of_the_one_before_do_not(
    toy_net: ToyNet, make_growth: MakeGrowth
) -> None:
    net = toy_net("thin")
    spec = make_growth(operator="stack", factor=2, freeze_steps=2, cooldown_steps=0, position="interleaved")
    protocol = GrowthProtocol(spec, net, seed=0)
    protocol.grow(0)
    protocol.advance_to(2)

    protocol.grow(2)

    trained = [all(parameter.requires_grad for parameter in unit.parameters()) for unit in net.units]
    assert protocol.unit_identities == [0, 2, 1, 3]
    assert trained == [False, True, False, True]
    assert not any(parameter.requires_grad for parameter in net.head.parameters())
    restored = GrowthProtocol(spec, net, seed=0, positions=protocol.positions)
    restored.restore(protocol.state())
    restored.apply_freezing()
    assert [all(parameter.requires_grad for parameter in unit.parameters()) for unit in net.units] == trained


def test_a_growth_that_does_not_fit_whole_does_not_begin(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    def may_grow(max_depth: int) -> bool:
        spec = make_growth(operator="stack", trigger={"at": {"shares": 0.5}}, factor=2, max_depth=max_depth)
        return GrowthProtocol(spec, toy_net("thin", "thin wide"), seed=0).is_due(0.6)

    assert (may_grow(5), may_grow(6)) == (False, True)


# ---- at shares of the budget -----------------------------------------------------------------------------------


def test_a_growth_of_more_units_than_may_ever_be_is_not_planned_unit_by_unit(
    toy_net: ToyNet, make_growth: MakeGrowth
) -> None:
    spec = make_growth(trigger={"at": {"shares": 0.1}}, units=10**9, max_depth=4)

    assert not GrowthProtocol(spec, toy_net("thin", "thin wide"), seed=0).is_due(0.5)
    assert final_layout(spec, parse("d=16 mlp mlp"), KINDS).depth == 2


def test_at_fires_once_for_each_share_and_not_before_it(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    spec = make_growth(operator="stack", trigger={"at": {"shares": "0.2, 0.5"}}, freeze_steps=0, cooldown_steps=9)
    protocol, fired = GrowthProtocol(spec, toy_net("thin"), seed=0), []

    for step in range(1, 11):
        protocol.advance_to(step)
        if protocol.is_due(step / 10):
            protocol.grow(step)
            fired.append(step)

    assert fired == [2, 5]  # a cool-down keeps no schedule


def test_a_share_that_is_reached_in_a_warm_up_is_made_up_for(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    spec = make_growth(operator="stack", trigger={"at": {"shares": "0.1 0.2"}}, freeze_steps=4, max_depth=9)
    protocol = GrowthProtocol(spec, toy_net("thin"), seed=0)
    protocol.grow(1)

    due = []
    for step in range(2, 7):
        protocol.advance_to(step)
        due.append(protocol.is_due(step / 10))

    assert due == [False, False, False, True, True]


def test_what_at_remembers_is_how_often_it_fired(toy_net: ToyNet, make_growth: MakeGrowth) -> None:
    spec = make_growth(operator="stack", trigger={"at": {"shares": "0.1 0.6"}}, freeze_steps=0)
    net = toy_net("thin")
    protocol = GrowthProtocol(spec, net, seed=0)
    protocol.grow(1)

    restored = GrowthProtocol(spec, net, seed=0, positions=protocol.positions)
    restored.restore(protocol.state())

    assert protocol.state().trigger == {"n_fired": 1}
    assert (restored.is_due(0.5), restored.is_due(0.6)) == (False, True)


def test_at_asks_for_nothing_at_an_evaluation(
    toy_net: ToyNet, make_growth: MakeGrowth, moment: Callable[..., Moment]
) -> None:
    protocol = GrowthProtocol(make_growth(trigger={"at": {"shares": 0.1}}), toy_net("thin"), seed=0)

    assert not protocol.ask_trigger(moment(1.0))


# ---- how deep a plan makes a model -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "plan", "depth"),
    [
        ("d=16 attn mlp conv", {"operator": "stack", "factor": 2, "trigger": {"at": {"shares": "0.1 0.2"}}}, 12),
        ("d=16 attn mlp conv", {"operator": "stack", "units": 1, "trigger": {"at": {"shares": 0.1}}}, 4),
        ("d=16 attn mlp conv", {"operator": "copy-last", "factor": 3, "trigger": {"at": {"shares": 0.1}}}, 7),
        ("d=16 conv attn mlp", {"operator": "stack", "position": "prepend", "trigger": {"at": {"shares": 0.1}}}, 4),
        ("d=16 attn mlp", {"operator": "identity", "unit": "conv mlp mlp", "trigger": {"at": {"shares": 0.1}}}, 5),
        ("d=16 attn mlp", {"trigger": "never"}, 2),
    ],
)
def test_a_plan_says_how_deep_it_ends_and_a_model_that_follows_it_ends_there(
    layout: str, plan: dict[str, Any], depth: int
) -> None:
    spec = growth_with(**plan, max_depth=99, freeze_steps=0)
    begun = complete(parse(layout))
    model = build_model(begun, vocab_size=VOCAB, max_depth=12, dropout=0.0, seed=0)
    protocol = GrowthProtocol(spec, model, seed=0)

    while protocol.is_due(0.99):
        protocol.grow(1)

    assert final_layout(spec, begun, KINDS) == model.layout
    assert model.layout.depth == depth


# ---- trained language models -----------------------------------------------------------------------------------

NESTS = ["mix(attn,ssm)", "router(conv)", "act[most=3](attn mlp)"]


def trained(layout: str) -> tuple[LanguageModel, Tensor]:
    """A model that says something: its logits have a standard deviation of at least 1."""
    model = build_model(complete(parse(layout)), vocab_size=VOCAB, max_depth=12, dropout=0.0, seed=0)
    ids = torch.randint(VOCAB, (4, 24), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            if model(ids).std() >= 1.5:
                break
    return model.eval(), ids


@pytest.mark.parametrize("unit", [*block_kinds(), *NESTS])
@torch.no_grad()
def test_silence_is_exact_for_every_kind_at_every_position(unit: str) -> None:
    first = unit if unit in NESTS else str(KINDS[unit].example)
    with torch.enable_grad():
        model, ids = trained(f"d=32 conv mlp {first} mlp")
    before = model(ids)
    assert before.std() >= 1

    for position in POSITIONS:
        grown = deepcopy(model)
        spec = growth_with(operator="stack", factor=2, entry_scale=0.0, position=position, trigger="at", max_depth=99)
        protocol = GrowthProtocol(spec, grown, seed=0)
        protocol.grow(0)

        assert grown.layout.depth == 2 * model.layout.depth
        torch.testing.assert_close(grown(ids), before, rtol=0, atol=1e-5)
        names = [name for name, _ in named_by_identity(grown, protocol.unit_identities)]
        assert len(set(names)) == len(names)


@torch.no_grad()
def test_a_doubled_hybrid_with_front_end_and_head_is_its_layout_written_out() -> None:
    model = build_model(
        complete(parse("d=32 front=patch[size=2] attn[n_heads=2] mlp conv head=hebbian_head")),
        vocab_size=VOCAB,
        max_depth=12,
        dropout=0.0,
        seed=0,
    ).eval()
    spec = growth_with(operator="stack", factor=2, position="interleaved", trigger="at", max_depth=99)

    GrowthProtocol(spec, model, seed=0).grow(0)

    expected = complete(parse("d=32 front=patch[size=2] (attn[n_heads=2] mlp)x2 (conv)x2 head=hebbian_head"))
    assert format_layout(model.layout) == format_layout(expected)
