"""A gate in front of a mixer, soft and hard.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from growlab.layout import parse_blocks

INNER = ["conv", "attn", "swa[window=4]", "mlp", "hebbian"]


def routed(block_of, inner, ponder=0.01, **options):
    (spec,) = parse_blocks(f"router[ponder={ponder}]({inner})")
    return block_of(spec, **options).mixer


def decide(router, x_BTD, opened_T):
    """Sets the gate by the first entry of each token: far open or far closed."""
    x_BTD = x_BTD.clone()
    x_BTD[..., 0] = torch.tensor([1.0 if each else -1.0 for each in opened_T], dtype=x_BTD.dtype)
    with torch.no_grad():
        router.gate.weight.zero_()
        router.gate.weight[0, 0] = 1e4
    return x_BTD


def step_by_step(router, x_BTD):
    state, pieces = router.initial_state(len(x_BTD)), []
    for t in range(x_BTD.shape[1]):
        y_B1D, state = router.advance(x_BTD[:, t : t + 1], state)
        pieces.append(y_B1D)
    return torch.cat(pieces, dim=1)


def test_a_closed_gate_leaves_nothing_and_an_open_one_everything(block_of, tokens):
    router = routed(block_of, "conv")
    x_BTD = decide(router, tokens(2, 6), [True, False, True, True, False, False])

    y_BTD = router(x_BTD)

    whole_BTD = router.mixer(x_BTD)
    assert torch.equal(y_BTD[:, [1, 4, 5]], torch.zeros(2, 3, 32, dtype=torch.float64))
    assert torch.equal(y_BTD[:, [0, 2, 3]], whole_BTD[:, [0, 2, 3]])


@pytest.mark.parametrize("inner", INNER)
def test_hard_and_soft_are_one_function_where_gates_are_sure(block_of, tokens, inner):
    router = routed(block_of, inner)
    x_BTD = decide(router, tokens(2, 8), [True, False, False, True, True, False, True, False])
    soft_BTD = router(x_BTD)

    router.hard = True

    torch.testing.assert_close(router(x_BTD), soft_BTD, rtol=0, atol=1e-12)
    torch.testing.assert_close(step_by_step(router, x_BTD), soft_BTD, rtol=0, atol=1e-12)


@pytest.mark.parametrize("inner", ["conv", "attn", "swa[window=4]", "mlp"])
def test_a_hard_exit_saves_flops_in_decoding(block_of, tokens, inner):
    router = routed(block_of, inner)
    router.hard = True
    x_BTD = decide(router, tokens(1, 8), [True] + [False] * 7)

    def flops(x_BTD):
        with FlopCounterMode(display=False) as counter:
            step_by_step(router, x_BTD)
        return counter.get_total_flops()

    assert flops(x_BTD) < 0.7 * flops(decide(router, x_BTD, [True] * 8))


def test_a_batch_in_which_tokens_differ_is_decoded_as_each_alone(block_of, tokens):
    router = routed(block_of, "conv")
    router.hard = True
    x_BTD = tokens(4, 8)

    together = step_by_step(router, x_BTD)

    alone = torch.cat([step_by_step(router, each[None]) for each in x_BTD])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_the_penalty_is_the_ponder_weight_times_the_mean_openness(block_of, tokens):
    router, x_BTD = routed(block_of, "conv", ponder=0.3), tokens(2, 9)

    _, penalty = router.forward_with_penalty(x_BTD)

    assert penalty.item() == pytest.approx(0.3 * router.openness(x_BTD).mean().item())
    assert router.metrics(x_BTD)["open"].item() == pytest.approx(penalty.item() / 0.3)


def test_a_greater_ponder_weight_closes_the_gate_further(block_of, tokens):
    x_BTD, to_BTD = tokens(4, 16), tokens(4, 16, seed=1)

    def openness_after_training(ponder):
        router = routed(block_of, "mlp", ponder=ponder)
        optimizer = torch.optim.AdamW(router.parameters(), lr=1e-2)
        for _ in range(60):
            y_BTD, penalty = router.forward_with_penalty(x_BTD)
            ((y_BTD - to_BTD).square().mean() + penalty).backward()
            optimizer.step()
            optimizer.zero_grad()
        return router.openness(x_BTD).mean().item()

    free, cheap, dear = map(openness_after_training, (0.0, 0.3, 3.0))

    assert dear < cheap < free
