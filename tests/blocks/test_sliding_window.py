"""A window of attention against dense scores of which all others are masked.

Legend: B batch, T tokens, D width, H heads, E head size.
"""

import math

import pytest
import torch

from growlab.blocks import block_cost
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec


def swa(window: int, **options: object) -> BlockSpec:
    return BlockSpec("swa", tuple(sorted((options | {"window": window}).items())))


def masked_by_hand(mixer, x_BTD: torch.Tensor, window: int) -> torch.Tensor:
    """All T² scores; those of tokens that are ahead, or `window` or more behind, are struck out one by one."""
    q_BHTE, k_BHTE, v_BHTE = mixer._heads(x_BTD, start=0)
    k_BHTE, v_BHTE = (each.repeat_interleave(q_BHTE.shape[1] // each.shape[1], dim=1) for each in (k_BHTE, v_BHTE))
    scores_BHTT = q_BHTE @ k_BHTE.transpose(2, 3) / math.sqrt(q_BHTE.shape[3])
    for i in range(x_BTD.shape[1]):
        for j in range(x_BTD.shape[1]):
            if not 0 <= i - j < window:
                scores_BHTT[:, :, i, j] = -math.inf
    return mixer._join(scores_BHTT.softmax(-1) @ v_BHTE, x_BTD)


@pytest.mark.parametrize("n_tokens", [1, 7, 8, 9, 16, 37])
@pytest.mark.parametrize(
    "options",
    [{"window": 2}, {"window": 8}, {"window": 8, "heads_per_kv": 2, "qk_norm": True}, {"window": 8, "gate": True}],
)
def test_a_window_is_dense_attention_with_the_rest_masked(block_of, tokens, n_tokens, options):
    mixer, x_BTD = block_of(swa(**options)).mixer, tokens(2, n_tokens)

    y_BTD = mixer(x_BTD)

    torch.testing.assert_close(y_BTD, masked_by_hand(mixer, x_BTD, options["window"]), rtol=1e-12, atol=1e-12)


def test_a_window_as_wide_as_the_text_is_attention(block_of, tokens):
    wide, dense = block_of(swa(21)).mixer, block_of(BlockSpec("attn")).mixer
    dense.load_state_dict(wide.state_dict())

    assert torch.equal(wide(tokens(2, 21)), dense(tokens(2, 21)))


@pytest.mark.parametrize("t", [8, 15, 16, 23])
def test_the_edge_of_a_window_is_exact(block_of, tokens, t):
    block, x_BTD = block_of(swa(8)), tokens(1, 24).requires_grad_()

    block(x_BTD)[:, t].square().sum().backward()

    seen_T = (x_BTD.grad[0] != 0).any(dim=1)
    assert seen_T.nonzero().flatten().tolist() == list(range(t - 7, t + 1))


def test_far_into_a_text_decoding_is_as_exact_as_at_its_beginning(block_of, tokens):
    """Positions are counted from the first key that is still seen, so they stay small."""
    block, x_BTD = block_of(swa(8), dtype=torch.float32), tokens(1, 600, dtype=torch.float32)
    state, outputs = block.mixer.initial_state(1), []
    for t in range(600):
        y_BTD, state = block.advance(x_BTD[:, t : t + 1], state)
        outputs.append(y_BTD)

    torch.testing.assert_close(torch.cat(outputs, dim=1), block(x_BTD), rtol=1e-5, atol=1e-5)
    assert [each.shape[2] for each in state] == [7, 7]


def test_cost_is_linear_in_tokens_where_that_of_attention_is_not():
    costs = {
        spec.kind: [block_cost(spec, 64, seq_len) for seq_len in (2048, 4096, 8192)]
        for spec in (swa(128), BlockSpec("attn"))
    }

    for name in ("matmul_flops", "activations", "dropped_activations"):
        short, middle, long = (getattr(cost, name) for cost in costs["swa"])
        assert long - middle == 2 * (middle - short)
    assert len({cost.state_size for cost in costs["swa"]}) == 1
    assert costs["attn"][2].matmul_flops > 3 * costs["attn"][1].matmul_flops


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1}, r"swa\[window=1\] must be at least 2"),
        ({"window": 8, "n_heads": 5}, r"swa\[n_heads=5\] does not fit d=32"),
        ({"window": 8, "heads_per_kv": 3}, r"swa\[heads_per_kv=3\] must divide n_heads=4"),
    ],
)
def test_options_that_do_not_fit_are_named_with_their_kind(options, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["swa"].read_options(swa(**options), 32)
