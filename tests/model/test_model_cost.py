"""What a layout is said to cost against what the model of that layout costs."""

import weakref
from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks import block_cost
from growlab.blocks.parts import n_positions, part_cost
from growlab.kinds import units
from growlab.layout import Layout, parse
from growlab.model.cost import TrainedUnit, count_params, forward_flops, training_flops, training_memory

B, T, VOCAB = 2, 9, 11
some_examples = settings(deadline=None, max_examples=20)
anything = st.data()


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


def uncounted(layout, times=1) -> int:
    """Scans, norms and gates, which no counter sees."""
    seen, parts = n_positions(layout.front, 16, T), [part for part in (layout.front, layout.head) if part]
    costs = [block_cost(spec, 16, seen) for spec in layout.blocks]
    costs += [part_cost(part, 16, T, VOCAB) for part in parts]
    return sum(cost.other_flops for cost in costs) * times


def differentiated(layout):
    """The layout without those passes of its loops through which no gradient goes."""

    def block(spec):
        options = (("times", 1),) if ("gradient", "last") in spec.options else spec.options
        return replace(spec, options=options).with_inner([block(inner) for inner in spec.inner])

    return replace(layout, blocks=tuple(block(spec) for spec in layout.blocks))


@some_examples
@given(data=anything)
def test_the_number_of_parameters_is_the_real_one(data, layouts, model_of):
    layout = data.draw(layouts)

    assert count_params(layout, VOCAB) == sum(each.numel() for each in model_of(layout).parameters())


@some_examples
@given(data=anything)
def test_the_flops_of_a_sequence_are_those_that_torch_counts(data, layouts, model_of, ids):
    layout = data.draw(layouts)
    model = model_of(layout)

    counted = count_flops(lambda: model(ids(B, T)))

    assert B * (forward_flops(layout, VOCAB, T) - uncounted(layout)) == counted


def trained_units(model, frozen, rest_frozen):
    """Freezes what it is told of a model, and describes its units as training_flops wants them."""
    model.requires_grad_(not rest_frozen)
    for unit, is_frozen in zip(model.units, frozen, strict=True):
        unit.requires_grad_(not is_frozen)
    return [TrainedUnit(blocks=unit.specs, frozen=each) for unit, each in zip(model.units, frozen, strict=True)]


@some_examples
@given(data=anything)
def test_a_training_step_costs_what_torch_counts_also_above_a_frozen_lower_part(data, layouts_of_blocks, model_of, ids):
    """Matrix products and convolutions only, and not a single one is off; the embedding's look-up is free in both."""
    layout = data.draw(layouts_of_blocks)
    model = model_of(layout)
    n_frozen = data.draw(st.integers(0, len(model.units) - 1))
    rest_frozen = n_frozen > 0 or data.draw(st.booleans())
    told_units = trained_units(model, [at < n_frozen for at in range(len(model.units))], rest_frozen)

    counted = count_flops(lambda: model.loss(ids(B, T), ids(B, T, seed=1)).backward())

    told = training_flops(told_units, layout, VOCAB, T, B, rest_frozen=rest_frozen)
    assert abs(told - counted) <= 0.02 * counted + uncounted(layout, times=3 * B)


def test_a_frozen_unit_above_a_trained_one_passes_gradients_on_and_saves_those_of_its_weights(model_of, ids):
    model = model_of(parse("d=16 conv mlp conv mlp"))
    told_units = trained_units(model, frozen=[True, True], rest_frozen=False)

    counted = count_flops(lambda: model.loss(ids(B, T), ids(B, T, seed=1)).backward())

    assert training_flops(told_units, Layout(16, ()), VOCAB, T, B, rest_frozen=False) == counted


@some_examples
@given(data=anything)
def test_a_frozen_attention_above_a_trained_unit_is_charged_too_little_never_too_much(
    data, layouts_of_blocks, model_of, ids
):
    """Attention multiplies activations by activations: two gradients of inputs, of which one is charged."""
    layout = data.draw(layouts_of_blocks)
    model = model_of(layout)
    frozen = data.draw(st.lists(st.booleans(), min_size=len(model.units), max_size=len(model.units)))
    told_units = trained_units(model, frozen, rest_frozen=False)

    counted = count_flops(lambda: model.loss(ids(B, T), ids(B, T, seed=1)).backward())

    told = training_flops(told_units, layout, VOCAB, T, B, rest_frozen=False) - uncounted(layout, times=3 * B)
    assert told <= counted <= 3 * B * forward_flops(layout, VOCAB, T)


@settings(deadline=None, max_examples=8)
@given(data=anything)
def test_recomputed_blocks_cost_a_forward_pass_more_at_most(data, layouts_of_blocks, model_of, ids):
    """torch stops where it has all that the backward pass needs: mostly before the last product of a block."""
    layout = data.draw(layouts_of_blocks)
    model = model_of(layout)
    model.recompute = True
    told_units = trained_units(model, [False] * len(model.units), False)

    counted = count_flops(lambda: model.objective(ids(B, T), ids(B, T, seed=1))[0].backward())

    once, again = (
        training_flops(told_units, layout, VOCAB, T, B, rest_frozen=False, recompute=recompute)
        - uncounted(layout, times=(1 + recompute) * B)
        - uncounted(differentiated(layout), times=2 * B)
        for recompute in (False, True)
    )
    assert once < counted <= 1.02 * again


def test_training_costs_three_forward_passes_and_an_isolated_top_little_more_than_one(model_of):
    layout = parse("d=16 (attn mlp)x8")
    forward = forward_flops(layout, VOCAB, T)
    groups = units(layout.blocks)
    alone = [TrainedUnit(blocks=each, frozen=at < 7) for at, each in enumerate(groups)]
    together = [TrainedUnit(blocks=each, frozen=False) for each in groups]

    assert training_flops(together, Layout(16, ()), VOCAB, T, B, rest_frozen=False) == 3 * B * forward
    assert forward < training_flops(alone, Layout(16, ()), VOCAB, T, B, rest_frozen=True) / B < 1.4 * forward


def with_penalty(loss, penalty):
    return loss if penalty is None else loss + penalty


def kept_for_backward(model, run) -> tuple[int, torch.Tensor]:
    """Bytes of activations that are held when the loss is there, each storage once, and the loss."""
    parameters = {each.untyped_storage().data_ptr() for each in model.parameters()}
    held = weakref.WeakSet()

    def keep(tensor):
        kept = Kept(tensor.detach())  # a saved output would keep its own graph alive
        held.add(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
        loss = run()
    storages = {kept.tensor.untyped_storage().data_ptr(): kept.tensor.untyped_storage() for kept in held}
    return sum(storage.nbytes() for at, storage in storages.items() if at not in parameters), loss


class Kept:
    """A tensor that autograd keeps, as long as it does: not those of a loop's passes that are constants."""

    def __init__(self, tensor):
        self.tensor = tensor


@some_examples
@given(data=anything, batch=st.sampled_from([1, 4, 32]))
def test_the_memory_of_training_is_near_what_a_step_holds(data, batch, layouts, model_of, ids):
    layout = data.draw(layouts)
    model = model_of(layout, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters())

    kept, loss = kept_for_backward(model, lambda: with_penalty(*model.objective(ids(batch, T), ids(batch, T, seed=1))))
    loss.backward()
    optimizer.step()

    held = kept + 4 * batch * T * VOCAB  # the logits' gradient
    for parameter in model.parameters():
        moments = [each for each in optimizer.state[parameter].values() if each.dim() == parameter.dim()]
        held += sum(4 * each.numel() for each in (parameter, parameter.grad, *moments))
    told = training_memory(layout, VOCAB, T, batch, window=0, dropout=0.0)
    assert held / 1.6 <= told <= 1.6 * held


@some_examples
@given(data=anything)
def test_without_sequences_memory_holds_weights_gradients_and_two_moments(data, layouts):
    layout = data.draw(layouts)

    assert training_memory(layout, VOCAB, T, batch_size=0, window=0, dropout=0.0) == 4 * 4 * count_params(layout, VOCAB)


@some_examples
@given(data=anything)
def test_more_sequences_tokens_or_snapshots_need_more_memory(data, layouts):
    layout = data.draw(layouts)
    plain = training_memory(layout, VOCAB, T, B, window=5, dropout=0.0)

    assert training_memory(layout, VOCAB, T, B + 1, window=5, dropout=0.0) > plain
    assert training_memory(layout, VOCAB, T + 1, B, window=5, dropout=0.0) > plain
    assert training_memory(layout, VOCAB, T, B, window=6, dropout=0.0) > plain


def test_the_watched_unit_costs_its_increments():
    layout, window = parse("d=16 (attn mlp)x2"), 15

    extra = training_memory(layout, VOCAB, T, B, window, dropout=0.0) - training_memory(
        layout, VOCAB, T, B, window=0, dropout=0.0
    )

    assert extra == 4 * window * count_params(layout, VOCAB) / 2
