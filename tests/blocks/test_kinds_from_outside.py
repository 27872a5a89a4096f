"""A kind that breaks its word is refused where it is built or costed, not where a checkpoint of it is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from growlab.blocks import Mixer, block_cost, build_block
from growlab.errors import PluginError
from growlab.kinds import KINDS, Cost, register_block
from growlab.layout import BlockSpec


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    def check(self, d_model: int) -> None:
        pass


class Plain(Mixer):
    def __init__(self, d_model: int, options: object) -> None:
        super().__init__(d_model, options)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        return self.out_proj(x_BTD)


class Buffered(Plain):
    persistent = True

    def __init__(self, d_model: int, options: object) -> None:
        super().__init__(d_model, options)
        self.register_buffer("mask", torch.ones(d_model), persistent=self.persistent)


class Constant(Buffered):
    persistent = False


@pytest.fixture
def register() -> Iterator[Callable[..., BlockSpec]]:
    before = dict(KINDS)

    def add(mixer: type[Mixer], **wrong: Any) -> BlockSpec:
        def cost(d_model: int, options: object, seq_len: int) -> Cost:
            right = {"n_params": d_model**2, "matmul_flops": 2, "other_flops": 0, "activations": 1, "state_size": 0}
            return Cost(**(right | wrong))

        register_block("outside", role="channel", summary="", options=NoOptions, cost=cost)(mixer)
        return BlockSpec("outside")

    yield add
    KINDS.reset(before)


def build(spec: BlockSpec) -> nn.Module:
    return build_block(spec, 8, max_depth=1, dropout=0.0)


@pytest.mark.parametrize("mixer", [Plain, Constant])
def test_a_kind_that_keeps_its_word_is_built(register: Callable, mixer: type[Mixer]) -> None:
    assert build(register(mixer)).spec.kind == "outside"


def test_a_buffer_that_would_be_saved_is_refused(register: Callable) -> None:
    with pytest.raises(PluginError, match="block kind 'outside' has the buffer 'mask', which no checkpoint would hold"):
        build(register(Buffered))


def test_a_wrong_count_of_parameters_is_refused(register: Callable) -> None:
    with pytest.raises(PluginError, match="'outside' has 64 parameters, but its cost function says 7"):
        build(register(Plain, n_params=7))


@pytest.mark.parametrize("value", [float("nan"), -1, 2.5])
def test_a_cost_that_is_no_count_is_refused(register: Callable, value: float) -> None:
    spec = register(Plain, matmul_flops=value)

    with pytest.raises(PluginError, match="the cost of block kind 'outside': matmul_flops must be a whole number ≥ 0"):
        block_cost(spec, 8, 4)


def raising(*_: object) -> Cost:
    raise KeyError("boom")


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (raising, "the cost function of block kind 'outside' raised KeyError: 'boom'"),
        (lambda *_: None, "the cost function of block kind 'outside' must return a growlab.kinds.Cost, got None"),
    ],
)
def test_a_cost_function_that_fails_is_named(register: Callable, cost: Callable[..., Any], said: str) -> None:
    KINDS.reset({name: each for name, each in KINDS.items() if name != "outside"})
    register_block("outside", role="channel", summary="", options=NoOptions, cost=cost)(Plain)
    spec = BlockSpec("outside")

    for ask in (lambda: block_cost(spec, 8, 4), lambda: build(spec)):
        with pytest.raises(PluginError, match=said):
            ask()
