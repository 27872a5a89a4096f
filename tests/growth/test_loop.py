"""The growth operator `loop`: which units it loops, and what of the model stays."""

import pytest
import torch

from growlab.errors import SpecError
from growlab.growth.identity import identities
from growlab.growth.operators.loop import LoopOptions
from growlab.growth.protocol import GrowthProtocol
from growlab.kinds import KINDS, complete, shorten
from growlab.layout import n_held, n_run, parse, parse_blocks
from growlab.model.cost import TrainedUnit, count_params, forward_flops, training_flops
from growlab.model.language_model import LanguageModel, build_model
from growlab.plan import final_layout, n_growths_of
from growlab.recipes import OPERATORS
from growlab.scalar import default_values
from growlab.specs import GrowthSpec
from growlab.study.growth_section import growth_with

VOCAB = 11


def options(**changes: object) -> LoopOptions:
    return LoopOptions(**(default_values(LoopOptions) | changes))  # type: ignore[arg-type]


def plan(shares: str = "0.5", **changes: object) -> GrowthSpec:
    named = {name: changes.pop(name) for name in ("times", "gradient", "start", "stop") if name in changes}
    rest = {"trigger": {"at": {"shares": shares}}, "freeze_steps": 0, "max_depth": 12}
    return growth_with(operator={"loop": named}, **(rest | changes))


def model_of(layout: str, dropout: float = 0.0) -> LanguageModel:
    return build_model(complete(parse(layout)), vocab_size=VOCAB, max_depth=12, dropout=dropout, seed=0)


def ids(n_tokens: int = 12) -> torch.Tensor:
    return torch.randint(VOCAB, (2, n_tokens), generator=torch.Generator().manual_seed(1))


def grown(layout: str, spec: GrowthSpec) -> tuple[LanguageModel, GrowthProtocol]:
    model = model_of(layout)
    protocol = GrowthProtocol(spec, model, seed=0)
    protocol.grow(1)
    return model, protocol


@pytest.mark.parametrize(
    ("n_units", "looped"),
    [(1, (0, 1)), (2, (0, 2)), (3, (1, 1)), (4, (1, 2)), (5, (1, 3)), (6, (1, 4)), (8, (2, 4)), (10, (2, 6))],
)
def test_the_middle_half_is_looped_or_a_little_more(n_units: int, looped: tuple[int, int]) -> None:
    found = options().enclosing([parse_blocks("attn mlp")] * n_units)

    assert found is not None
    assert (found.first, found.n_units) == looped


@pytest.mark.parametrize(
    ("start", "stop", "looped"),
    [(0.0, 1.0, (0, 10)), (0.3, 0.7, (3, 4)), (0.6, 0.61, (6, 1)), (0.97, 0.98, (9, 1)), (0.0, 0.01, (0, 1))],
)
def test_shares_say_which_units_are_looped_and_one_always_is(
    start: float, stop: float, looped: tuple[int, int]
) -> None:
    found = options(start=start, stop=stop).enclosing([parse_blocks("attn mlp")] * 10)

    assert found is not None
    assert (found.first, found.n_units) == looped


def test_shares_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(SpecError, match=r"growth.operator.loop: start must be below stop, got 0.6 and 0.5"):
        OPERATORS["loop"].read({"times": 2, "gradient": "all", "start": 0.6, "stop": 0.5})


def test_a_loop_that_is_looped_alone_runs_so_many_times_more_and_one_among_others_is_held() -> None:
    (loop,) = parse_blocks("loop[gradient=all,times=2](attn mlp)")
    unit = parse_blocks("conv mlp")

    alone = options(times=3).enclosing([unit, (loop,), unit])
    among = options(times=3, start=0.0).enclosing([unit, (loop,), unit])

    assert alone is not None
    assert among is not None
    assert str(alone.blocks[0]) == "loop[gradient=all,times=6](attn mlp)"
    assert str(among.blocks[0]) == "loop[gradient=all,times=3](conv mlp loop[gradient=all,times=2](attn mlp))"


def test_no_block_is_run_more_than_64_times() -> None:
    (loop,) = parse_blocks("loop[times=32](attn)")

    assert options(times=2).enclosing([(loop,)]) is not None
    assert options(times=3).enclosing([(loop,)]) is None
    assert options(times=3).enclosing([(loop,), parse_blocks("attn")]) is None


def test_weights_are_the_same_objects_with_the_same_bits_and_none_is_new() -> None:
    model = model_of("d=16 (attn mlp)x4")
    before = list(model.parameters())
    bits = [parameter.detach().clone() for parameter in before]

    [event] = GrowthProtocol(plan(), model, seed=0).grow(1)

    after = list(model.parameters())
    assert [id(parameter) for parameter in after] == [id(parameter) for parameter in before]
    assert all(map(torch.equal, after, bits))
    assert str(shorten(model.layout)) == "d=16 attn mlp loop((attn mlp)x2) attn mlp"
    assert (event.operator, event.position, event.original) == ("loop", 1, None)


def test_the_paths_of_looped_units_end_and_the_loops_own_begins() -> None:
    model = model_of("d=16 (attn mlp)x4")
    protocol = GrowthProtocol(plan(), model, seed=0)
    for _ in range(3):
        protocol.snapshot()
    before = set(protocol.paths.sketches.statistics())

    protocol.grow(1)

    assert protocol.paths.tensors() == {}
    for _ in range(3):
        protocol.snapshot()
    assert (before, protocol.unit_identities) == ({0, 1, 2}, [0, 4, 3])
    assert set(protocol.paths.sketches.statistics()) == {0, 3}
    assert list(protocol.window.tracks) == [name for name, _ in model.units[1].named_parameters()]


@pytest.mark.parametrize(
    ("changes", "enclosed", "n_growths"),
    [
        ({}, [], 0),
        ({}, [2, 1, 3], 3),
        ({"factor": 2}, [0, 0, 0, 0], 1),
        ({"factor": 2}, [4, 0, 0, 0, 0, 0, 0, 0], 4),  # 4 units, 1 loop, then 2, 4 and 8 units
        ({"factor": 2}, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0], 3),  # 4 units, 8, 5 with the loop, 10
        ({"units": 2}, [2, 0, 0, 5, 0, 0], 4),
    ],
)
def test_a_loop_counts_as_one_growth_before_others_and_after_them(
    changes: dict[str, int], enclosed: list[int], n_growths: int
) -> None:
    assert n_growths_of(plan(**changes), 4, enclosed) == n_growths


def test_one_pass_leaves_every_logit_as_it_was() -> None:
    model = model_of("d=16 attn mlp conv mlp hebbian (attn mlp)x2").eval()
    before = model(ids())

    GrowthProtocol(plan(times=1), model, seed=0).grow(1)

    assert model.layout.depth == 5
    assert torch.equal(model(ids()), before)


def test_a_looped_model_is_its_layout_written_out_and_decodes_as_it_computes() -> None:
    model, _ = grown("d=16 attn mlp conv mlp hebbian (attn mlp)x2", plan(times=3))
    model.eval()
    rebuilt = build_model(model.layout, vocab_size=VOCAB, max_depth=1, dropout=0.0, seed=9).eval()
    rebuilt.load_state_dict(dict(zip(rebuilt.state_dict(), model.state_dict().values(), strict=True)))
    whole = model(ids())

    states, pieces = rebuilt.initial_state(2), []
    for t in range(12):
        logits, states = rebuilt.advance(ids()[:, t : t + 1], states)
        pieces.append(logits)

    assert torch.equal(rebuilt(ids()), whole)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shares", ["0.5", "0.3 0.6", "0.1 0.2 0.3 0.4 0.5 0.6 0.7"])
@pytest.mark.parametrize("where", [{}, {"start": 0.0, "stop": 0.5}, {"gradient": "last", "start": 0.4}])
@pytest.mark.parametrize("layout", ["d=16 (attn mlp)x4", "d=16 attn mlp conv", "d=16 loop(attn) mlp conv mlp"])
def test_a_plan_says_what_it_ends_with_and_a_model_that_follows_it_ends_so(
    layout: str, where: dict[str, object], shares: str
) -> None:
    spec, begun = plan(shares, max_depth=0, **where), complete(parse(layout))
    model = model_of(layout)
    protocol = GrowthProtocol(spec, model, seed=0)

    while protocol.is_due(0.99):
        protocol.grow(1)

    assert final_layout(spec, begun, KINDS) == model.layout
    assert n_held(model.layout.blocks) == n_held(begun.blocks)
    assert count_params(model.layout, VOCAB) == sum(parameter.numel() for parameter in model.parameters())
    assert model(ids()).isfinite().all()


def test_a_loop_is_counted_by_what_it_holds_and_by_what_it_runs() -> None:
    blocks = parse("d=16 attn mlp loop[times=3](attn mlp loop(conv)) act(attn mlp)").blocks

    assert n_held(blocks) == 6
    assert n_run(blocks) == 2 + 3 * (2 + 2) + 1


def test_a_full_stack_can_still_be_looped() -> None:
    """growth.max_depth bounds the blocks that a model has, and a loop has none of its own."""
    protocol = GrowthProtocol(plan(max_depth=8), model_of("d=16 (attn mlp)x4"), seed=0)

    assert protocol.is_due(0.6)


def test_only_the_looped_units_train_in_the_isolated_warm_up() -> None:
    model = model_of("d=16 (attn mlp)x4")
    protocol = GrowthProtocol(plan(freeze_steps=3), model, seed=0)
    protocol.grow(1)

    trains = [all(parameter.requires_grad for parameter in unit.parameters()) for unit in model.units]
    protocol.advance_to(4)

    assert trains == [False, True, False]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_identities_go_on_counting_where_units_become_one() -> None:
    assert identities(4, [1], [2]) == [0, 4, 3]
    assert identities(4, [4, 1, 3], [0, 2, 0]) == [0, 5, 3, 6, 4]
    assert identities(2, [0, 0], [2, 1]) == [3]


@pytest.mark.parametrize("gradient", ["all", "last"])
def test_a_step_costs_as_many_passes_more_as_it_computes(gradient: str) -> None:
    model, _ = grown("d=16 (attn mlp)x4", plan(times=3, gradient=gradient))
    unit = forward_flops(parse("d=16 attn mlp"), VOCAB, 12) - forward_flops(parse("d=16 mlp"), VOCAB, 12)
    unit += forward_flops(parse("d=16 attn mlp"), VOCAB, 12) - forward_flops(parse("d=16 attn"), VOCAB, 12)
    rest = forward_flops(model.layout, VOCAB, 12) - (2 + 3 * 2) * unit

    step = training_flops(
        [TrainedUnit(blocks=model.blocks_of(each), frozen=False) for each in model.units],
        model.layout,
        VOCAB,
        12,
        1,
        rest_frozen=False,
    )

    passes = {"all": 3 * (2 + 3 * 2), "last": 3 * 2 + (3 + 2) * 2}[gradient]  # of a unit, forwards or backwards
    assert rest == 2 * 12 * 16 * VOCAB
    assert step == passes * unit + 3 * rest
