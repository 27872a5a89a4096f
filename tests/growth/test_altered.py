"""stack-altered: copies that differ from their original in the one respect that was asked for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from growlab.growth.protocol import Grown, GrowthProtocol
from growlab.kinds import complete
from growlab.layout import parse
from growlab.model.language_model import LanguageModel, build_model
from growlab.study.growth_section import growth_with

LAYOUTS = ["attn[n_heads=2] mlp", "mamba2[n_heads=2,d_state=4] mlp", "loop[times=2](attn[n_heads=2] mlp)"]
layouts = pytest.mark.parametrize("blocks", LAYOUTS)


def model_of(blocks: str) -> LanguageModel:
    return build_model(complete(parse(f"d=8 {blocks}")), vocab_size=11, max_depth=4, dropout=0.0, seed=0)


def grown(model: LanguageModel, *, entry_scale: float = 1.0, seed: int = 0, **options: object) -> Grown:
    spec = growth_with(
        trigger="at", operator={"stack-altered": options}, factor=2, entry_scale=entry_scale, max_depth=99
    )
    [unit] = GrowthProtocol(spec, model, seed=seed).grow(0)
    return unit


def differing(one: nn.Module, other: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Names of parameters that are not equal, with both."""
    others = dict(other.named_parameters())
    pairs = {name: (weight.detach(), others[name].detach()) for name, weight in one.named_parameters()}
    return {name: pair for name, pair in pairs.items() if not torch.equal(*pair)}


@layouts
def test_without_an_option_it_is_stack(blocks: str) -> None:
    model = model_of(blocks)

    new = grown(model)

    assert differing(new.unit, model.units[0]) == {}
    assert new.original is model.units[0]


@layouts
def test_noise_moves_each_tensor_by_its_own_share_and_time_constants_by_nothing(blocks: str) -> None:
    model, other, reseeded = model_of(blocks), model_of(blocks), model_of(blocks)

    new, same, drawn_anew = (
        grown(each, noise=0.1, seed=seed).unit for each, seed in ((model, 0), (other, 0), (reseeded, 1))
    )

    moved = differing(new, model.units[0])
    kept = {name for name, weight in new.named_parameters() if getattr(weight, "copied_at_growth", False)}
    zeros = {name for name, weight in model.units[0].named_parameters() if not weight.any()}
    assert moved.keys() == dict(new.named_parameters()).keys() - kept - zeros
    shares = [float((one - old).norm() / old.norm()) for one, old in moved.values() if one.numel() >= 64]
    assert shares == pytest.approx([0.1] * len(shares), rel=0.35)
    assert differing(new, same) == {}
    assert differing(new, drawn_anew).keys() == moved.keys()


@layouts
def test_louder_norms_leave_a_silent_entry_exact(blocks: str) -> None:
    model = model_of(blocks)
    ids = torch.arange(12).view(2, 6) % 11
    before = model(ids)

    new = grown(model, norm_gain=4.0, entry_scale=0.0).unit

    outs, gains = ([id(each) for each in find(new)] for find in (model.out_projections, model.norm_gains))
    named = {id(weight): name for name, weight in new.named_parameters()}
    louder = {name: pair for name, pair in differing(new, model.units[0]).items() if name not in map(named.get, outs)}
    assert len(gains) == 2
    assert louder.keys() == {named[gain] for gain in gains}
    assert all(torch.equal(one, 4 * old) for one, old in louder.values())
    assert torch.equal(model(ids), before)


@layouts
@pytest.mark.parametrize("entry_scale", [0.0, 1.0])
def test_fresh_out_projections_are_those_of_a_fresh_unit(blocks: str, entry_scale: float) -> None:
    model = model_of(blocks)

    new = grown(model, out="fresh", entry_scale=entry_scale).unit

    outs = {id(weight) for weight in model.out_projections(new)}
    named = {name for name, weight in new.named_parameters() if id(weight) in outs}
    assert differing(new, model.units[0]).keys() == named
    assert all(bool(weight.any()) == (entry_scale > 0) for weight in model.out_projections(new))


def test_a_model_without_norms_can_still_grow_by_others(make_growth: Callable[..., object], toy_net) -> None:
    net = toy_net("thin")

    [unit] = GrowthProtocol(make_growth(operator="stack", entry_scale=1.0), net, seed=0).grow(0)

    assert unit.operator == "stack"
