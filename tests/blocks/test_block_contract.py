"""What every registered kind of block keeps.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from growlab.kinds import KINDS, role_of
from growlab.layout import CHANNEL_KINDS

T = 21  # odd, and longer than any filter
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
few_examples = settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
splits = st.lists(st.integers(1, T - 1), unique=True, max_size=6).map(sorted) | st.just(list(range(1, T)))


def advance_in_pieces(block, x_BTD, cuts):
    """The outputs and the states of decoding the tokens between one cut and the next at a time."""
    state = block.mixer.initial_state(len(x_BTD))
    outputs, states = [], []
    for start, end in zip([0, *cuts], [*cuts, x_BTD.shape[1]], strict=True):
        y_BTD, state = block.advance(x_BTD[:, start:end], state)
        outputs.append(y_BTD)
        states.append(state)
    return torch.cat(outputs, dim=1), states


class NarrowerThanFloat64(TorchDispatchMode):
    """Notes the operations that give numbers of fewer digits than float64's."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        narrow = {torch.float16, torch.bfloat16, torch.float32, torch.complex32, torch.complex64}
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype in narrow for leaf in tree_leaves(result)):
            self.operations.append(str(operation))
        return result


def zero_out_projections(block):
    for weight in block.out_projections():
        torch.nn.init.zeros_(weight)


def test_the_layout_text_knows_the_kinds_that_begin_no_unit():
    ours = [kind for kind in KINDS.values() if kind.mixer.__module__.startswith("growlab.blocks.")]

    assert {kind.name for kind in ours if kind.role == "channel"} == CHANNEL_KINDS


def test_a_block_keeps_shape_and_type(spec, block_of, tokens):
    for dtype in (torch.float32, torch.float64):
        block = block_of(spec, dtype=dtype)
        for n_tokens in (1, 2, 33):
            y_BTD = block(tokens(2, n_tokens, dtype=dtype))

            assert y_BTD.shape == (2, n_tokens, 32)
            assert y_BTD.dtype == dtype
            assert y_BTD.isfinite().all()


def test_a_block_in_float64_computes_nothing_in_less(spec, block_of, tokens):
    """The leak alarm relies on it: it asks a copy in float64 whether a change was rounding."""
    block = block_of(spec)

    with torch.no_grad(), NarrowerThanFloat64() as narrower:
        block(tokens(2, T))

    assert narrower.operations == []


def test_changing_a_token_changes_no_output_before_it(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T)
    y_BTD = block(x_BTD)

    for t in (1, 8, T - 1):
        changed_BTD = x_BTD.clone()
        changed_BTD[:, t] = tokens(2, T, seed=1)[:, t]
        z_BTD = block(changed_BTD)

        torch.testing.assert_close(z_BTD[:, :t], y_BTD[:, :t], rtol=0, atol=1e-12)
        assert not torch.allclose(z_BTD[:, t], y_BTD[:, t]), t


def test_no_output_has_a_gradient_with_respect_to_a_later_token(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T).requires_grad_()
    y_BTD = block(x_BTD)

    for t in (0, 8, T - 2):
        told = (y_BTD[:, t] * tokens(2, T, seed=1)[:, t]).sum()
        (grad_BTD,) = torch.autograd.grad(told, x_BTD, retain_graph=True)

        assert grad_BTD[:, t + 1 :].abs().max() <= 1e-12, t
        assert grad_BTD[:, t].abs().min() > 0, t


def test_a_sequence_mixer_looks_at_the_token_before_and_a_channel_mixer_does_not(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T).requires_grad_()

    block(x_BTD)[:, -1].square().sum().backward()

    looks_back = bool((x_BTD.grad[:, -2] != 0).any())
    assert looks_back == (role_of(spec) == "sequence")


def test_the_sequences_of_a_batch_do_not_see_one_another(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(3, T)

    together, alone = block(x_BTD), torch.cat([block(each[None]) for each in x_BTD])

    torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)


def test_a_block_remembers_nothing_between_calls_nor_knows_whether_it_is_trained(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T)

    first, again, evaluated = block(x_BTD), block(x_BTD), block.eval()(x_BTD)

    assert torch.equal(again, first)
    assert torch.equal(evaluated, first)


@few_examples
@given(cuts=splits, dtype=st.sampled_from(list(TOLERANCE)))
def test_decoding_with_carried_state_over_any_split_equals_the_forward_pass(spec, block_of, tokens, dtype, cuts):
    block, x_BTD = block_of(spec, dtype=dtype), tokens(2, T, dtype=dtype)

    y_BTD, _ = advance_in_pieces(block, x_BTD, cuts)

    whole_BTD = block(x_BTD)
    # relative to the largest output: a small one may be the difference of large terms
    scale = max(1.0, whole_BTD.abs().max().item())
    torch.testing.assert_close(y_BTD, whole_BTD, rtol=0, atol=TOLERANCE[dtype] * scale)


def test_a_state_can_be_continued_twice(spec, block_of, tokens):
    """Advancing gives a new state and leaves the old as it was: several texts may go on from one prompt."""
    block, x_BTD = block_of(spec), tokens(2, T)
    _, state = block.advance(x_BTD[:, :9], block.mixer.initial_state(2))

    once, after_once = block.advance(x_BTD[:, 9:], state)
    again, after_again = block.advance(x_BTD[:, 9:], state)

    assert torch.equal(again, once)
    assert all(torch.equal(one, other) for one, other in zip(after_once, after_again, strict=True))


def test_decoding_passes_gradients_on_to_earlier_tokens(spec, block_of, tokens):
    block = block_of(spec)
    x_BTD, z_BTD = tokens(2, T).requires_grad_(), tokens(2, T).requires_grad_()

    block(x_BTD).square().sum().backward()
    advance_in_pieces(block, z_BTD, [4, 5])[0].square().sum().backward()

    torch.testing.assert_close(z_BTD.grad, x_BTD.grad, rtol=1e-9, atol=1e-9)


def test_every_parameter_receives_a_gradient(spec, block_of, tokens):
    block = block_of(spec, bold=False)

    y_BTD, penalty = block.forward_with_penalty(tokens(2, T))
    ((y_BTD * tokens(2, T, seed=1)).sum() + (0 if penalty is None else penalty)).backward()

    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name
        assert parameter.grad.isfinite().all(), name


def test_two_blocks_of_one_spec_have_equal_names_and_shapes_and_can_swap_weights(spec, block_of, tokens):
    block, twin = block_of(spec, seed=0), block_of(spec, seed=1)
    assert not torch.equal(twin(tokens(1, T)), block(tokens(1, T)))

    twin.load_state_dict(block.state_dict(), strict=True)

    described = [[(name, each.shape) for name, each in one.named_parameters()] for one in (block, twin)]
    assert described[0] == described[1]
    assert torch.equal(twin(tokens(1, T)), block(tokens(1, T)))


def test_all_that_a_block_is_lies_in_its_parameters(spec, block_of):
    """Growth copies parameters by name and nothing else."""
    block = block_of(spec)

    assert set(block.state_dict()) == {name for name, _ in block.named_parameters()}


def test_a_zeroed_out_projection_makes_a_block_the_identity(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T)

    zero_out_projections(block)

    assert torch.equal(block(x_BTD), x_BTD)
    assert torch.equal(advance_in_pieces(block, x_BTD, [3, 4])[0], x_BTD)


def test_a_zeroed_out_projection_learns_at_once(spec, block_of, tokens):
    block = block_of(spec)
    zero_out_projections(block)

    (block(tokens(2, T)) * tokens(2, T, seed=1)).sum().backward()

    assert all((weight.grad != 0).any() for weight in block.out_projections())


def test_learning_gives_the_same_output_and_a_penalty_that_is_a_finite_scalar(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T)

    y_BTD, penalty = block.forward_with_penalty(x_BTD)

    assert torch.equal(y_BTD, block(x_BTD))
    assert penalty is None or (penalty.shape == () and penalty.isfinite() and penalty >= 0)


def test_a_state_that_absorbed_tokens_is_one_that_advanced_over_them(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, T)
    _, start = block.mixer.advance(x_BTD[:, :5], block.initial_state(2))

    absorbed = block.mixer.absorb(x_BTD[:, 5:9], start)

    _, advanced = block.mixer.advance(x_BTD[:, 5:9], start)
    for one, other in zip(absorbed, advanced, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_metrics_of_a_block_are_finite_scalars_with_short_names(spec, block_of, tokens):
    for name, value in block_of(spec).mixer.metrics(tokens(2, T)).items():
        assert value.shape == ()
        assert value.isfinite()
        assert len(name) <= 40


@pytest.mark.parametrize("decoding", [False, True])
def test_bf16_autocast_stays_finite_and_near_fp32(spec, block_of, tokens, decoding):
    again_and_again = spec.kind in ("act", "loop")  # where doubled weights would make much of any rounding
    block = block_of(spec, dtype=torch.float32, bold=not again_and_again)
    x_BTD = tokens(2, T, dtype=torch.float32).requires_grad_()
    run = (lambda: advance_in_pieces(block, x_BTD, [4, 5])[0]) if decoding else (lambda: block(x_BTD))
    exact_BTD = run()
    (exact_grad_BTD,) = torch.autograd.grad(exact_BTD.square().sum(), x_BTD)

    with torch.autocast("cpu", torch.bfloat16):
        y_BTD = run()
    (grad_BTD,) = torch.autograd.grad(y_BTD.square().sum(), x_BTD)

    assert y_BTD.dtype == torch.float32  # the residual stream is never narrowed
    assert y_BTD.isfinite().all()
    assert grad_BTD.isfinite().all()
    assert (y_BTD - exact_BTD).norm() < 0.02 * (exact_BTD - x_BTD).norm()
    assert (grad_BTD - exact_grad_BTD).norm() < 0.04 * exact_grad_BTD.norm()


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_size_of_the_residual_stream_does_not_unsettle_a_block(spec, block_of, tokens, scale):
    block, x_BTD = block_of(spec, dtype=torch.float32), scale * tokens(2, T, dtype=torch.float32)

    with torch.autocast("cpu", torch.bfloat16):
        y_BTD = block(x_BTD)

    assert y_BTD.isfinite().all()


def test_dropout_acts_in_training_only(spec, block_of, tokens):
    block, plain, x_BTD = block_of(spec, dropout=0.5), block_of(spec), tokens(2, T)

    trained, again, evaluated = block(x_BTD), block(x_BTD), block.eval()(x_BTD)

    assert not torch.equal(trained, again)
    assert torch.equal(evaluated, plain(x_BTD))


def test_weights_that_were_first_used_in_inference_mode_can_be_trained(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(1, T)
    with torch.inference_mode():
        block(x_BTD)

    block(x_BTD).sum().backward()

    assert next(block.parameters()).grad is not None  # of the first norm
