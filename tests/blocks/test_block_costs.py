"""The cost functions of every kind against real blocks and torch's own counter.

Legend: T tokens, D width.
"""

import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks import block_cost, build_block
from growlab.errors import LayoutError
from growlab.kinds import complete_block
from growlab.layout import BlockSpec, parse_blocks

LENGTHS = (1, 8, 33)


def convolution_backward(grad_shape, x_shape, weight_shape, *_others, out_shape=None, **_options):
    """Two products, each as dear as the forward pass; torch's own formula forgets `groups` in the weights' one."""
    batch, out_channels, *positions = grad_shape
    in_channels_per_group, *kernel = weight_shape[1:]
    forward = 2 * batch * out_channels * in_channels_per_group
    for size in (*positions, *kernel):
        forward *= size
    return forward * sum(shape is not None for shape in out_shape[:2])


def count_flops(run) -> int:
    mapping = {torch.ops.aten.convolution_backward: convolution_backward}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return counter.get_total_flops()


class Kept:
    """A tensor that autograd keeps, as long as it does."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def numbers_kept_for_backward(block, x_BTD) -> float:
    """Each storage once, in numbers of the input's size; parameters are not activations, nor is what was let go."""
    parameters = {each.untyped_storage().data_ptr() for each in block.parameters()}
    alive: weakref.WeakSet[Kept] = weakref.WeakSet()

    def keep(tensor: torch.Tensor) -> Kept:
        kept = Kept(tensor.detach())  # a saved output would keep its own graph alive
        alive.add(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
        y_BTD = block(x_BTD)
    storages = {kept.tensor.untyped_storage().data_ptr(): kept.tensor.untyped_storage() for kept in alive}
    assert y_BTD.requires_grad
    return sum(each.nbytes() for at, each in storages.items() if at not in parameters) / x_BTD.element_size()


def differentiated(spec: BlockSpec) -> BlockSpec:
    """The block without those passes of its loops through which no gradient goes."""
    options = (("times", 1),) if ("gradient", "last") in spec.options else spec.options
    return replace(spec, options=options).with_inner([differentiated(inner) for inner in spec.inner])


def test_the_number_of_parameters_is_the_real_one(spec, block_of):
    assert block_cost(spec, 32, seq_len=8).n_params == sum(each.numel() for each in block_of(spec).parameters())


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(1, 300))
def test_the_number_of_parameters_is_the_real_one_at_any_width_that_fits(spec, width):
    try:
        complete_block(spec, width)
    except LayoutError:
        width *= 16
    with torch.device("meta"):
        block = build_block(spec, width, max_depth=1, dropout=0.0)

    assert block_cost(spec, width, seq_len=8).n_params == sum(each.numel() for each in block.parameters())


def test_a_cost_is_made_of_whole_numbers_for_one_sequence(spec):
    for T in LENGTHS:
        cost = block_cost(spec, 32, T)

        for value in (cost.n_params, cost.matmul_flops, cost.other_flops, cost.activations, cost.state_size):
            assert type(value) is int
            assert value >= 0
        assert cost.flops == cost.matmul_flops + cost.other_flops


def test_the_products_of_the_forward_pass_are_those_that_torch_counts(spec, block_of, tokens):
    block = block_of(spec)

    for T in LENGTHS:
        counted = count_flops(partial(block, tokens(2, T)))

        assert counted == 2 * block_cost(spec, 32, T).matmul_flops


def test_the_products_of_the_backward_pass_are_twice_those_of_the_forward_pass(spec, block_of, tokens):
    block = block_of(spec)

    for T in LENGTHS:
        with sdpa_kernel(SDPBackend.MATH):
            total = block(tokens(2, T).requires_grad_()).sum()

        assert count_flops(total.backward) == 2 * 2 * block_cost(differentiated(spec), 32, T).matmul_flops


def test_the_state_after_t_tokens_has_the_size_that_is_told(spec, block_of, tokens):
    block, B = block_of(spec), 3

    for T in LENGTHS:
        _, state = block.advance(tokens(B, T), block.mixer.initial_state(B))

        assert sum(each.numel() for each in state) == B * block_cost(spec, 32, T).state_size


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_activations_are_near_what_autograd_keeps(spec, block_of, tokens, dropout):
    block, B = block_of(spec, dtype=torch.float32, dropout=dropout), 8

    for T in (8, 33):
        kept = numbers_kept_for_backward(block, tokens(B, T, dtype=torch.float32).requires_grad_())

        cost = block_cost(spec, 32, T)
        told = B * (cost.activations + (cost.dropped_activations if dropout else 0))
        assert kept / 1.6 <= told <= 1.6 * kept


@pytest.mark.parametrize("backend", [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])
@pytest.mark.parametrize("text", ["attn", "attn[heads_per_kv=2,n_heads=8]", "swa[window=8]", "swa[window=64]"])
def test_a_gate_keeps_as_many_more_numbers_as_are_told(block_of, tokens, text, backend):
    (plain,) = parse_blocks(text)
    gated = BlockSpec(plain.kind, (("gate", True), *plain.options))
    x_BTD = tokens(8, 33, dtype=torch.float32).requires_grad_()

    with sdpa_kernel(backend):
        kept = [numbers_kept_for_backward(block_of(spec, dtype=torch.float32), x_BTD) for spec in (plain, gated)]

    told = [8 * block_cost(spec, 32, 33).activations for spec in (plain, gated)]
    assert kept[1] - kept[0] == told[1] - told[0] > 0
