"""Adaptive computation: halting, its weights and what it costs.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks.act import NEARLY, Rounds
from growlab.errors import LayoutError
from growlab.layout import parse_blocks


def adaptive(block_of, inner="attn mlp", most=4, ponder=0.01, **options):
    (spec,) = parse_blocks(f"act[most={most},ponder={ponder}]({inner})")
    return block_of(spec, **options).mixer


def rounds_of(act, x_BTD):
    """Every state s_0 … s_most when no token halts, by the blocks alone."""
    states = [x_BTD]
    for _ in range(act.most):
        s_BTD = states[-1]
        for block in act.blocks:
            s_BTD = block(s_BTD)
        states.append(s_BTD)
    return states


def halt_by_bias(act, bias):
    with torch.no_grad():
        act.halt.weight.zero_()
        act.halt.bias.fill_(bias)


def graves(act, x_BTD):
    """The definition, token by token, for blocks that mix no tokens: output, weights and rounds of each token."""
    outputs, weights, rounds = [], [], []
    for x_D in x_BTD.flatten(0, 1):
        s_D, used, y_D, p = x_D, 0.0, torch.zeros_like(x_D), []
        for n in range(act.most):
            for block in act.blocks:
                s_D = block(s_D[None, None])[0, 0]
            h = 1.0 if n == act.most - 1 else torch.sigmoid(act.halt(s_D)).item()
            last = used + h >= 1 - NEARLY
            p.append(1 - used if last else h)
            y_D = y_D + p[-1] * (s_D - x_D)
            if last:
                break
            used += h
        outputs.append(y_D)
        weights.append(p)
        rounds.append(len(p))
    return torch.stack(outputs).view_as(x_BTD), weights, rounds


def test_it_is_graves_rule_token_by_token(block_of, tokens):
    act, x_BTD = adaptive(block_of, "mlp"), tokens(3, 16)

    y_BTD = act(x_BTD)

    expected_BTD, weights, rounds = graves(act, x_BTD)
    torch.testing.assert_close(y_BTD, expected_BTD, rtol=1e-12, atol=1e-12)
    assert len(set(rounds)) > 1, "tokens that all halt alike would show little"
    assert all(sum(each) == pytest.approx(1) for each in weights)
    assert act.metrics(x_BTD)["rounds"].item() == pytest.approx(sum(rounds) / len(rounds))


def test_a_token_that_wants_to_halt_at_once_gets_a_single_round(block_of, tokens):
    act, x_BTD = adaptive(block_of), tokens(2, 9)
    halt_by_bias(act, 1e4)

    y_BTD = act(x_BTD)

    torch.testing.assert_close(y_BTD, rounds_of(act, x_BTD)[1] - x_BTD, rtol=1e-12, atol=1e-12)
    assert act.metrics(x_BTD)["rounds"] == 1


def test_a_token_that_never_wants_to_halt_gets_all_rounds(block_of, tokens):
    act, x_BTD = adaptive(block_of, most=3), tokens(2, 9)
    halt_by_bias(act, -1e4)

    y_BTD = act(x_BTD)

    torch.testing.assert_close(y_BTD, rounds_of(act, x_BTD)[3] - x_BTD, rtol=1e-12, atol=1e-12)
    assert act.metrics(x_BTD)["rounds"] == 3


@pytest.mark.parametrize("bias", [-1.0, 0.0, 0.7, 3.0])
def test_weights_sum_to_one_for_every_token(tokens, bias):
    x_BTD = tokens(2, 9)
    ones_BTD = torch.ones_like(x_BTD)
    rounds = Rounds(x_BTD)

    for n in range(4):  # a state that is x + 1 in each round: what comes out is the sum of the weights
        logits_BT1 = None if n == 3 else bias + x_BTD[..., n : n + 1]
        rounds.add(x_BTD + ones_BTD, logits_BT1)

    torch.testing.assert_close(rounds.y_BTD, ones_BTD, rtol=1e-12, atol=1e-12)
    assert not rounds.running_BT1.any()


def test_the_ponder_cost_is_rounds_and_remainder_and_has_a_gradient(block_of, tokens):
    act, x_BTD = adaptive(block_of, "mlp", ponder=0.5), tokens(2, 9)

    _, penalty = act.forward_with_penalty(x_BTD)
    penalty.backward()

    _, weights, rounds = graves(act, x_BTD)
    expected = sum(n + p[-1] for n, p in zip(rounds, weights, strict=True)) / len(rounds)
    assert penalty.item() == pytest.approx(0.5 * expected)
    assert act.halt.bias.grad.item() < 0  # a greater halting unit makes the remainder smaller


def test_halting_early_saves_flops_in_decoding(block_of, tokens):
    act, x_BTD = adaptive(block_of), tokens(1, 8)

    def flops(bias):
        halt_by_bias(act, bias)
        state = act.initial_state(1)
        with FlopCounterMode(display=False) as counter:
            for t in range(8):
                _, state = act.advance(x_BTD[:, t : t + 1], state)
        return counter.get_total_flops()

    assert flops(1e4) < 0.55 * flops(-1e4)


def test_later_tokens_see_a_halted_one_as_it_stopped(block_of, tokens):
    act, x_BTD = adaptive(block_of, "attn"), tokens(1, 6)
    with torch.no_grad():
        act.halt.weight.mul_(5)  # some stop at once, others never

    whole_BTD = act(x_BTD)

    state, pieces = act.initial_state(1), []
    for t in range(6):
        y_B1D, state = act.advance(x_BTD[:, t : t + 1], state)
        pieces.append(y_B1D)
    torch.testing.assert_close(torch.cat(pieces, 1), whole_BTD, rtol=0, atol=1e-12)


def test_a_dearer_round_means_fewer_of_them(block_of, tokens):
    x_BTD, to_BTD = tokens(4, 16), tokens(4, 16, seed=1)

    def rounds_after_training(ponder):
        act = adaptive(block_of, "mlp", ponder=ponder, bold=False)
        optimizer = torch.optim.AdamW(act.parameters(), lr=1e-2)
        for _ in range(80):
            y_BTD, penalty = act.forward_with_penalty(x_BTD)
            ((y_BTD - to_BTD).square().mean() + penalty).backward()
            optimizer.step()
            optimizer.zero_grad()
        return act.metrics(x_BTD)["rounds"].item()

    free, cheap, dear = map(rounds_after_training, (0.0, 0.1, 3.0))

    assert dear <= cheap <= free
    assert dear < free


@pytest.mark.parametrize("most", [2, 4])
def test_what_its_blocks_want_counts_once_whatever_the_rounds(block_of, tokens, most):
    act, x_BTD = adaptive(block_of, "router[ponder=1.0](mlp)", most=most, ponder=0.0), tokens(2, 9)
    torch.nn.init.zeros_(act.blocks[0].mixer.gate.weight)

    _, penalty = act.forward_with_penalty(x_BTD)

    assert penalty.item() == pytest.approx(0.5)


def test_nothing_drops_out_of_what_its_blocks_say(block_of, tokens):
    act, x_BTD = adaptive(block_of, "conv mlp", dropout=0.5), tokens(2, 9)  # inside which nothing drops

    trained_BTD, _ = act.train().forward_with_penalty(x_BTD)
    read_BTD, _ = act.eval().forward_with_penalty(x_BTD)

    assert torch.equal(trained_BTD, read_BTD)


def test_rounds_of_rounds_are_bounded(block_of):
    with pytest.raises(LayoutError, match="act in act makes 128 rounds, at most 64 are allowed"):
        adaptive(block_of, "act[most=4](act[most=4](conv))", most=8)
