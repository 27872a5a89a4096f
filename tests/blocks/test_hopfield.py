"""Hopfield retrieval: its energy, its memory, and the attention that it is after one step.

Legend: B batch, T tokens, S patterns, D width, H heads, E head size, N patterns of the bank.
"""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec


def hopfield(**options: object) -> BlockSpec:
    return BlockSpec("hopfield", tuple(sorted(options.items())))


def energy(xi_BHTE, x_BHSE, beta_H):
    """-1/β lse(β X_t ξ) + ½ ξᵀξ of each state, over the patterns that its token sees: all but those of later tokens."""
    n_tokens, n_patterns = xi_BHTE.shape[2], x_BHSE.shape[2]
    beta_H11 = beta_H[:, None, None]
    scores_BHTS = beta_H11 * (xi_BHTE @ x_BHSE.transpose(2, 3))
    for t in range(n_tokens):
        scores_BHTS[:, :, t, n_patterns - n_tokens + t + 1 :] = -math.inf
    return -(scores_BHTS.logsumexp(-1) / beta_H11[..., 0]) + 0.5 * xi_BHTE.square().sum(-1)


def parts(mixer, x_BTD):
    """First states, all patterns and all values of a text."""
    xi_BHTE, _, _ = mixer._heads(x_BTD)
    _, (x_BHSE, v_BHSE) = mixer.advance(x_BTD, mixer.initial_state(len(x_BTD)))
    return xi_BHTE, x_BHSE, v_BHSE


@pytest.mark.parametrize("n_stored", [0, 16])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0])
def test_no_update_raises_the_energy_of_any_state(block_of, tokens, n_stored, sharpness):
    mixer = block_of(hopfield(n_updates=1, n_stored=n_stored)).mixer
    mixer.log_beta.data += math.log(sharpness) + 0.3 * torch.arange(4)
    xi_BHTE, x_BHSE, _ = parts(mixer, 3 * tokens(3, 21))
    energies = [energy(xi_BHTE, x_BHSE, mixer.log_beta.exp())]

    for _ in range(8):
        xi_BHTE = mixer.retrieve(xi_BHTE, x_BHSE, x_BHSE)
        energies.append(energy(xi_BHTE, x_BHSE, mixer.log_beta.exp()))

    for before_BHT, after_BHT in pairwise(energies):
        assert (after_BHT - before_BHT).max() <= 1e-12
    assert (energies[-1] - energies[0]).max() < 0


@pytest.mark.parametrize("n_updates", [1, 2, 3])
def test_many_updates_are_one_update_taken_often_and_the_last_reads_values(block_of, tokens, n_updates):
    mixer, once = (block_of(hopfield(n_updates=n)).mixer for n in (n_updates, 1))
    xi_BHTE, x_BHSE, v_BHSE = parts(mixer, tokens(2, 9))

    retrieved_BHTE = mixer.retrieve(xi_BHTE, x_BHSE, v_BHSE)

    for _ in range(n_updates - 1):
        xi_BHTE = once.retrieve(xi_BHTE, x_BHSE, x_BHSE)
    assert torch.equal(retrieved_BHTE, once.retrieve(xi_BHTE, x_BHSE, v_BHSE))


def test_more_updates_give_another_output(block_of, tokens):
    one, two, three = (block_of(hopfield(n_updates=n))(tokens(2, 9)) for n in (1, 2, 3))

    assert (one - two).abs().max() > 1e-3
    assert (two - three).abs().max() > 1e-3


def test_one_update_without_a_bank_is_causal_attention(block_of, tokens):
    mixer, x_BTD = block_of(hopfield(n_updates=1, n_stored=0), bold=False).mixer, tokens(2, 21)
    w_q, w_k, w_v = mixer.qkv.weight.chunk(3)

    y_BTD = mixer(x_BTD)

    q_BHTE, k_BHTE, v_BHTE = ((x_BTD @ w.T).view(2, 21, 4, 8).transpose(1, 2) for w in (w_q, w_k, w_v))
    mixed_BHTE = F.scaled_dot_product_attention(q_BHTE, k_BHTE, v_BHTE, is_causal=True, scale=8**-0.5)
    expected_BTD = mixer.out_proj(mixed_BHTE.transpose(1, 2).reshape(2, 21, 32))
    torch.testing.assert_close(y_BTD, expected_BTD, rtol=0, atol=1e-6)


def sharp_memory(block_of, n_updates: int, beta: float):
    """One head of which the bank alone speaks: states are the tokens, and the values of 64 patterns are themselves."""
    mixer = block_of(hopfield(n_heads=1, n_stored=64, n_updates=n_updates)).mixer
    with torch.no_grad():
        mixer.bank_patterns.normal_(generator=torch.Generator().manual_seed(2))
        mixer.bank_values.copy_(mixer.bank_patterns)
        mixer.log_beta.fill_(math.log(beta))
        mixer.qkv.weight.zero_()
        mixer.qkv.weight[:32] = torch.eye(32)
        mixer.out_proj.weight.copy_(torch.eye(32))
    return mixer


@pytest.mark.parametrize("n_updates", [1, 2, 3])
def test_a_sharp_memory_finds_a_stored_pattern_under_noise(block_of, tokens, n_updates):
    """64 patterns of 32 numbers: a classical network of that size holds 0.138 · 32, four."""
    mixer = sharp_memory(block_of, n_updates, beta=4.0)
    stored_BND = mixer.bank_patterns.detach()
    noisy_BND = stored_BND + 0.5 * tokens(1, 64)

    found_BND = mixer(noisy_BND)

    assert F.cosine_similarity(noisy_BND, stored_BND, dim=-1).mean() < 0.93
    assert F.cosine_similarity(found_BND, stored_BND, dim=-1).min() > 0.99


def test_a_blunt_memory_finds_an_average(block_of, tokens):
    mixer = sharp_memory(block_of, n_updates=3, beta=1e-3)

    found_BND = mixer(tokens(1, 5))

    # of the bank, and of the patterns of one to five tokens, which are zero here
    sum_D = mixer.bank_patterns.detach().sum((0, 1))
    expected_BND = torch.stack([sum_D / (64 + t) for t in range(1, 6)])[None]
    torch.testing.assert_close(found_BND, expected_BND, rtol=0, atol=5e-3)


@pytest.mark.parametrize("n_updates", [1, 3])
def test_every_token_sees_each_pattern_of_the_bank(block_of, tokens, n_updates):
    mixer, x_BTD = block_of(hopfield(n_stored=5, n_updates=n_updates)).mixer, tokens(2, 7)

    for t in range(7):
        mixer.zero_grad()
        mixer(x_BTD)[:, t].square().sum().backward()
        for bank in (mixer.bank_patterns, mixer.bank_values):
            assert (bank.grad != 0).all(), t


@pytest.mark.parametrize("n_updates", [1, 3])
@pytest.mark.parametrize("n_stored", [0, 5])
def test_a_token_sees_itself_and_all_before_it_and_none_after(block_of, tokens, n_stored, n_updates):
    mixer = block_of(hopfield(n_stored=n_stored, n_updates=n_updates)).mixer

    for t in range(12):
        x_BTD = tokens(1, 12).requires_grad_()
        mixer(x_BTD)[:, t].square().sum().backward()
        seen_T = (x_BTD.grad[0] != 0).any(dim=1)
        assert seen_T.nonzero().flatten().tolist() == list(range(t + 1))


def test_the_order_of_earlier_tokens_does_not_matter(block_of, tokens):
    """Nothing here knows positions."""
    mixer, x_BTD = block_of(hopfield()).mixer, tokens(2, 9)
    shuffled_BTD = x_BTD[:, [3, 1, 7, 0, 6, 2, 5, 4, 8]]

    torch.testing.assert_close(mixer(shuffled_BTD)[:, 8], mixer(x_BTD)[:, 8], rtol=0, atol=1e-12)


def test_each_head_starts_with_the_scale_of_attention_and_its_beta_is_neither_decayed_nor_extrapolated(block_of):
    mixer = block_of(hopfield(n_heads=2), bold=False).mixer

    torch.testing.assert_close(mixer.log_beta.exp(), torch.full((2,), 0.25, dtype=torch.float64))
    assert mixer.log_beta.no_decay
    assert mixer.log_beta.copied_at_growth


def test_dropout_acts_on_the_weights_of_the_last_update_alone(block_of, tokens):
    mixer = block_of(hopfield(n_updates=3, n_stored=16)).mixer
    xi_BHTE, x_BHSE, v_BHSE = parts(mixer, tokens(2, 9))
    settled_BHTE = xi_BHTE
    once = block_of(hopfield(n_updates=1, n_stored=16)).mixer
    for _ in range(2):
        settled_BHTE = once.retrieve(settled_BHTE, x_BHSE, x_BHSE)
    mixer.p_dropout = once.p_dropout = 0.5

    torch.manual_seed(3)
    dropped_BHTE = mixer.retrieve(xi_BHTE, x_BHSE, v_BHSE)

    torch.manual_seed(3)
    assert torch.equal(dropped_BHTE, once.retrieve(settled_BHTE, x_BHSE, v_BHSE))
    assert not torch.equal(dropped_BHTE, mixer.eval().retrieve(xi_BHTE, x_BHSE, v_BHSE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_heads": 5}, r"hopfield\[n_heads=5\] does not fit d=32: d must be a multiple of n_heads"),
        ({"n_heads": 0}, r"hopfield\[n_heads=0\] does not fit d=32"),
        ({"n_updates": 0}, r"hopfield\[n_updates=0\] must be at least 1"),
        ({"n_stored": -1}, r"hopfield\[n_stored=-1\] must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["hopfield"].read_options(hopfield(**options), 32)


@pytest.mark.parametrize("n_stored", [0, 3])
def test_the_incremental_memory_is_the_masked_sum_of_all_outer_products(block_of, tokens, n_stored):
    mixer, x_BTD = block_of(hopfield(incremental=True, n_stored=n_stored)).mixer, tokens(2, 150)

    y_BTD = mixer(x_BTD)

    xi_BHTE, x_BHTE, v_BHTE = mixer._heads(x_BTD)
    scores_BHTT = (mixer.log_beta.exp()[:, None, None] * xi_BHTE @ x_BHTE.transpose(2, 3)).tril()
    said_BHTE = scores_BHTT @ v_BHTE
    if n_stored:
        said_BHTE = (
            said_BHTE + mixer.log_beta.exp()[:, None, None] * xi_BHTE @ mixer.bank_patterns.mT @ mixer.bank_values
        )
    said_BHTE = said_BHTE / (n_stored + torch.arange(1, 151, dtype=torch.float64)[:, None])
    expected_BTD = mixer.out_proj(said_BHTE.transpose(1, 2).flatten(2))
    torch.testing.assert_close(y_BTD, expected_BTD, rtol=1e-11, atol=1e-11)


def test_the_incremental_memory_does_not_grow_with_the_text(block_of, tokens):
    mixer = block_of(hopfield(incremental=True)).mixer

    sizes = [sum(each.numel() for each in mixer.advance(tokens(1, n), mixer.initial_state(1))[1]) for n in (1, 10, 100)]

    assert len(set(sizes)) == 1


def test_an_incremental_memory_of_several_updates_is_refused(block_of):
    with pytest.raises(LayoutError, match="a running memory is read in one step"):
        block_of(hopfield(incremental=True, n_updates=2))
