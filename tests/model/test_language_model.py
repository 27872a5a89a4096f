"""The whole model, for random layouts of all registered kinds.

Legend: B batch, T tokens, D width, V vocabulary.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.errors import LayoutError, UnknownName
from growlab.kinds import KINDS, complete, units
from growlab.layout import parse, parse_blocks
from growlab.model.language_model import build_model, short_unit_text

T = 13
some_examples = settings(deadline=None, max_examples=20)
anything = st.data()
LAYOUT = parse("d=16 attn mlp conv[kernel=3] mlp[expand=2.0]")


def decode(model, ids_BT, cuts):
    """Logits of decoding the tokens between one cut and the next at a time."""
    states, pieces = model.initial_state(len(ids_BT)), []
    for start, end in zip([0, *cuts], [*cuts, ids_BT.shape[1]], strict=True):
        logits_BTV, states = model.advance(ids_BT[:, start:end], states)
        pieces.append(logits_BTV)
    return torch.cat(pieces, dim=1)


def sees_at_once(model, t):
    """Whether the logits behind token t may depend on it; a decoder that draws a patch's tokens independently waits."""
    front = model.layout.front
    if front is None:
        return True
    options = dict(front.options)
    return options["decoder"] == "autoregressive" or (t + 1) % options["size"] == 0


# ---- causal ---------------------------------------------------------------------------------------------------


@some_examples
@given(data=anything, t=st.integers(0, T - 1))
def test_changing_a_token_changes_its_logits_and_none_before(data, t, layouts, model_of, ids):
    model, ids_BT = model_of(data.draw(layouts)), ids(2, T)
    changed_BT = ids_BT.clone()
    changed_BT[:, t] = (ids_BT[:, t] + 1) % model.vocab_size

    before_BTV, after_BTV = model(ids_BT), model(changed_BT)

    torch.testing.assert_close(after_BTV[:, :t], before_BTV[:, :t], rtol=0, atol=1e-12)
    if sees_at_once(model, t):
        assert not torch.allclose(after_BTV[:, t], before_BTV[:, t])


@some_examples
@given(data=anything, t=st.integers(0, T - 2))
def test_no_logit_has_a_gradient_with_respect_to_a_later_token(data, t, layouts, model_of, ids):
    model = model_of(data.draw(layouts))
    embedded = []
    model.embedding.register_forward_hook(
        lambda module, inputs, output: embedded.append(output) or output.retain_grad()
    )

    model(ids(2, T))[:, t].square().sum().backward()

    (x_BTD,) = embedded
    assert x_BTD.grad[:, t + 1 :].abs().max() <= 1e-12
    assert (x_BTD.grad[:, t] != 0).any() or not sees_at_once(model, t)


# ---- decoding with carried state ------------------------------------------------------------------------------


@some_examples
@given(data=anything, cuts=st.lists(st.integers(1, T - 1), unique=True).map(sorted))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_decoding_over_any_split_equals_the_forward_pass(data, cuts, dtype, tolerance, layouts, model_of, ids):
    bold = dtype == torch.float64  # doubled weights make much of rounding, where rounds of rounds follow one another
    model, ids_BT = model_of(data.draw(layouts), dtype=dtype, bold=bold), ids(2, T)

    logits_BTV = decode(model, ids_BT, cuts)

    whole_BTV = model(ids_BT)
    scale = max(1.0, whole_BTV.abs().max().item())
    torch.testing.assert_close(logits_BTV, whole_BTV, rtol=0, atol=tolerance * scale)


def test_decoding_needs_the_state_of_every_block(model_of, ids):
    model = model_of(LAYOUT)

    front, _, *rest = model.initial_state(1)

    with pytest.raises(ValueError, match="shorter"):
        model.advance(ids(1, 3), [front, *rest])


@pytest.mark.parametrize("n_layouts", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_layouts_of_the_grammar_see_no_future_and_decode_as_they_read(n_layouts, layouts, model_of, ids):
    any_cuts = st.lists(st.integers(1, T - 1), unique=True).map(sorted)

    @settings(deadline=None, max_examples=n_layouts)
    @given(layout=layouts, t=st.integers(0, T - 2), cuts=any_cuts)
    def hold(layout, t, cuts):
        sees_no_future_and_decodes_as_it_reads(model_of(layout), ids(2, T), t, cuts)

    hold()


def sees_no_future_and_decodes_as_it_reads(model, ids_BT, t, cuts):
    embedded = []
    look = model.embedding.register_forward_hook(
        lambda module, given, output: embedded.append(output) or output.retain_grad()
    )

    whole_BTV = model(ids_BT)
    look.remove()
    whole_BTV[:, t].square().sum().backward()

    assert embedded[0].grad[:, t + 1 :].abs().max() <= 1e-12
    with torch.no_grad():
        decoded_BTV = decode(model, ids_BT, cuts)
    scale = max(1.0, whole_BTV.abs().max().item())
    torch.testing.assert_close(decoded_BTV, whole_BTV.detach(), rtol=0, atol=1e-12 * scale)


# ---- what it is -------------------------------------------------------------------------------------------------


@some_examples
@given(data=anything)
def test_a_model_tells_its_layout_in_a_text_that_means_the_same_model(data, layouts, model_of, ids):
    layout = data.draw(layouts)
    model = model_of(layout)

    twin = model_of(parse(str(model.layout)))

    assert parse(str(model.layout)) == model.layout == complete(layout)
    assert twin.layout.hash == model.layout.hash
    assert torch.equal(twin(ids(1, T)), model(ids(1, T)))


@some_examples
@given(data=anything)
def test_two_models_of_one_layout_have_equal_names_and_shapes(data, layouts, model_of, ids):
    layout = data.draw(layouts)
    model, twin = model_of(layout, seed=0), model_of(layout, seed=1)

    twin.load_state_dict(model.state_dict(), strict=True)

    assert torch.equal(twin(ids(1, T)), model(ids(1, T)))


def test_initial_weights_are_a_function_of_the_seed(model_of, ids):
    first, again, other = (model_of(LAYOUT, seed=seed)(ids(1, T)) for seed in (3, 3, 4))

    assert torch.equal(again, first)
    assert not torch.equal(other, first)


def test_the_depth_that_may_be_reached_scales_out_projections_and_nothing_else():
    shallow, deep = (
        dict(build_model(LAYOUT, vocab_size=11, max_depth=depth, dropout=0.0, seed=0).named_parameters())
        for depth in (4, 16)
    )

    for name in shallow:
        torch.testing.assert_close((2 if "out_proj" in name else 1) * deep[name], shallow[name])


def test_blocks_are_grouped_into_the_units_that_growth_copies(model_of):
    model = model_of(parse("d=16 mlp attn mlp mlp conv conv mlp"))

    texts = [short_unit_text(model.blocks_of(unit)) for unit in model.units]

    assert texts == ["mlp", "attn (mlp)x2", "conv", "conv mlp"]


def test_head_and_embedding_are_one_matrix(model_of):
    model = model_of(LAYOUT)

    assert [name for name, each in model.named_parameters() if model.vocab_size in each.shape] == ["embedding.weight"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("d=16 atn", UnknownName, r"unknown block kind 'atn'; known: .*Did you mean 'attn'"),
        ("d=12 attn", LayoutError, r"attn\[n_heads=4\] does not fit d=12"),
        ("d=16 attn[heads=2]", UnknownName, "unknown option of block kind 'attn' 'heads'"),
    ],
)
def test_a_layout_that_makes_no_sense_builds_nothing(text, error, message, model_of):
    with pytest.raises(error, match=message):
        model_of(parse(text))


# ---- loss -------------------------------------------------------------------------------------------------------


@some_examples
@given(data=anything)
def test_an_untrained_model_is_as_unsure_as_it_should_be(data, layouts, model_of, ids):
    model = model_of(data.draw(layouts), bold=False, dtype=torch.float32)

    loss = model.loss(ids(8, T), ids(8, T, seed=1))

    assert float(loss.detach()) == pytest.approx(math.log(model.vocab_size), abs=0.1)


def test_the_loss_is_the_mean_of_what_each_token_costs(model_of, ids):
    model, ids_BT, targets_BT = model_of(LAYOUT, dtype=torch.float32), ids(2, 3), ids(2, 3, seed=1)

    loss = model.loss(ids_BT, targets_BT)

    logits_BTV = model(ids_BT).double()
    costs = [
        math.log(sum(math.exp(each) for each in logits_BTV[b, t].tolist())) - logits_BTV[b, t, targets_BT[b, t]].item()
        for b in range(2)
        for t in range(3)
    ]
    assert loss.item() == pytest.approx(sum(costs) / 6, rel=1e-5)


@pytest.mark.parametrize(
    "text", [str(LAYOUT), "d=16 front=patch attn mlp", "d=16 mix(conv,ssm) moe[n_experts=2] head=hebbian_head"]
)
def test_the_loss_is_fp32_under_autocast_and_near_the_exact_one(text, model_of, ids):
    model = model_of(parse(text), dtype=torch.float32)
    exact = model.loss(ids(4, T), ids(4, T, seed=1))

    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(ids(4, T), ids(4, T, seed=1))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)


@some_examples
@given(data=anything)
def test_every_parameter_of_a_model_receives_a_gradient(data, layouts, model_of, ids):
    model = model_of(data.draw(layouts), bold=False)

    loss, penalty = model.objective(ids(4, T), ids(4, T, seed=1))
    (loss if penalty is None else loss + penalty).backward()

    for name, parameter in model.named_parameters():
        assert (parameter.grad != 0).any(), name


# ---- dropout ----------------------------------------------------------------------------------------------------


def test_dropout_changes_what_is_trained_and_not_what_is_evaluated(model_of, ids):
    dropping, plain = model_of(LAYOUT, dropout=0.5), model_of(LAYOUT)
    ids_BT = ids(2, T)

    trained, again, evaluated = dropping(ids_BT), dropping(ids_BT), dropping.eval()(ids_BT)

    assert not torch.equal(trained, again)
    assert torch.equal(evaluated, plain(ids_BT))


# ---- recomputed blocks ------------------------------------------------------------------------------------------


@some_examples
@given(data=anything, dropout=st.sampled_from([0.0, 0.3]))
def test_blocks_computed_again_give_the_same_gradients(data, dropout, layouts, model_of, ids):
    model = model_of(data.draw(layouts), dropout=dropout, bold=False)

    def gradients(recompute):
        model.recompute = recompute
        torch.manual_seed(3)
        loss, penalty = model.objective(ids(2, T), ids(2, T, seed=1))
        return torch.autograd.grad(loss if penalty is None else loss + penalty, list(model.parameters()))

    for kept, again in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(again, kept, rtol=0, atol=1e-12)


def test_blocks_computed_again_keep_little(model_of, ids):
    model, held = model_of(parse("d=16 (attn mlp)x4"), dtype=torch.float32), []

    def numbers_kept(recompute):
        model.recompute = recompute
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda kept: held.append(kept.numel()) or kept, lambda kept: kept
        ):
            model.objective(ids(8, 64), ids(8, 64, seed=1))
        return sum(held)

    assert numbers_kept(True) < 0.3 * numbers_kept(False)


# ---- growth -----------------------------------------------------------------------------------------------------


def insert(model, position, blocks):
    unit = model.make_unit(blocks)
    for weight in model.out_projections(unit):
        torch.nn.init.zeros_(weight)
    model.insert_unit(position, unit)
    return unit


@settings(deadline=None, max_examples=3)  # of each kind
@given(data=anything)
def test_a_unit_with_zeroed_out_projections_enters_without_a_trace(data, kind, layouts, model_of, ids):
    model = model_of(data.draw(layouts), dtype=torch.float64)  # where rounding hides nothing
    before_BTV, n_units = model(ids(2, T)), len(model.units)
    position = data.draw(st.integers(0, n_units))

    unit = insert(model, position, (KINDS[kind].example, *data.draw(layouts).blocks))

    assert len(model.units) == n_units + 1
    assert model.units[position] is unit
    assert (model(ids(2, T)) - before_BTV).abs().max() <= 1e-6
    assert (decode(model, ids(2, T), [5, 6]) - before_BTV).abs().max() <= 1e-5


def test_a_grown_model_tells_its_new_layout_and_decodes_as_it_reads(model_of, ids):
    model = model_of(parse("d=16 attn mlp"))

    model.insert_unit(1, model.make_unit(parse_blocks("conv[kernel=3] mlp")))

    assert model.layout == complete(parse("d=16 attn mlp conv[kernel=3] mlp"))
    assert units(model.layout.blocks) == tuple(model.blocks_of(unit) for unit in model.units)
    torch.testing.assert_close(decode(model, ids(2, T), [4, 5]), model(ids(2, T)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_a_new_unit_takes_on_the_type_and_the_mode_of_its_model(model_of, ids, training):
    model = model_of(LAYOUT, dtype=torch.float64, dropout=0.5).train(training)

    unit = insert(model, 0, parse_blocks("attn mlp"))

    assert {each.dtype for each in unit.parameters()} == {torch.float64}
    assert {module.training for module in model.modules()} == {training}
    assert all(block.dropout.p == 0.5 for block in unit)


def test_a_unit_can_take_the_weights_of_another_of_the_same_blocks(model_of):
    model = model_of(LAYOUT)
    source = model.units[1]

    unit = model.make_unit(model.blocks_of(source))

    unit.load_state_dict(source.state_dict(), strict=True)
    assert model.blocks_of(unit) == model.blocks_of(source)


def test_a_unit_has_one_out_projection_for_each_block(model_of):
    model = model_of(LAYOUT)

    unit = model.make_unit(parse_blocks("attn mlp mlp"))

    named = {name for name, each in unit.named_parameters() if any(each is one for one in model.out_projections(unit))}
    assert named == {f"{at}.mixer.out_proj.weight" for at in range(3)}
