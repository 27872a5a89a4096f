"""Attention against loops that are slow and plain.

Legend: B batch, T tokens, H query heads, G key-value heads, E head size.
"""

import cmath
import math

import pytest
import torch

from growlab.blocks import attn
from growlab.blocks.attn import rotate
from growlab.errors import LayoutError, UnknownName
from growlab.kinds import KINDS
from growlab.layout import BlockSpec, parse_blocks


def turned(vector: list[float], position: int) -> list[complex]:
    """Entry i and entry i + E/2 are one complex number, turned by position · 10000^(-2i/E)."""
    half = len(vector) // 2
    return [
        complex(vector[i], vector[i + half]) * cmath.exp(1j * position * 10_000 ** (-2 * i / len(vector)))
        for i in range(half)
    ]


def normed(vector: list[float], gain: list[float]) -> list[float]:
    rms = math.sqrt(sum(each * each for each in vector) / len(vector) + 1e-6)
    return [each * factor / rms for each, factor in zip(vector, gain, strict=True)]


def attention_by_loops(
    x_TD: torch.Tensor,
    qkv_weight: torch.Tensor,
    n_heads: int,
    n_kv_heads: int,
    gains: tuple[list[float], list[float]] | None = None,
) -> torch.Tensor:
    """The heads' outputs side by side, before the out-projection; `gains` are those of QK-norm."""
    T, D = x_TD.shape
    E = D // n_heads
    rows = [[float(row @ x) for row in qkv_weight] for x in x_TD]
    heads = [[row[at * E : (at + 1) * E] for at in range(n_heads + 2 * n_kv_heads)] for row in rows]
    for head in heads if gains else []:
        head[:n_heads] = [normed(query, gains[0]) for query in head[:n_heads]]
        head[n_heads:-n_kv_heads] = [normed(key, gains[1]) for key in head[n_heads:-n_kv_heads]]
    mixed = torch.zeros(T, D, dtype=torch.float64)
    for h in range(n_heads):
        key_head = n_heads + h // (n_heads // n_kv_heads)
        for t in range(T):
            query = turned(heads[t][h], t)
            scores = []
            for s in range(t + 1):
                key = turned(heads[s][key_head], s)
                products = [(q * k.conjugate()).real for q, k in zip(query, key, strict=True)]
                scores.append(sum(products) / math.sqrt(E))
            weights = [math.exp(score - max(scores)) for score in scores]
            for s, weight in enumerate(weights):
                value = torch.tensor(heads[s][key_head + n_kv_heads], dtype=torch.float64)
                mixed[t, h * E : (h + 1) * E] += weight / sum(weights) * value
    return mixed


def with_gate(spec: BlockSpec) -> BlockSpec:
    return BlockSpec(spec.kind, tuple(sorted([*spec.options, ("gate", True)])))


@pytest.mark.parametrize(("n_heads", "heads_per_kv"), [(4, 1), (8, 1), (4, 2), (4, 4), (1, 1)])
def test_attention_is_what_loops_over_tokens_give(block_of, tokens, n_heads, heads_per_kv):
    spec = BlockSpec("attn", (("heads_per_kv", heads_per_kv), ("n_heads", n_heads)))
    mixer, x_BTD = block_of(spec).mixer, 2 * tokens(2, 9)

    y_BTD = mixer(x_BTD)

    for y_TD, x_TD in zip(y_BTD, x_BTD, strict=True):
        mixed_TD = attention_by_loops(x_TD, mixer.qkv.weight.detach(), n_heads, n_heads // heads_per_kv)
        torch.testing.assert_close(y_TD, mixed_TD @ mixer.out_proj.weight.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("heads_per_kv", [1, 2])
def test_qk_norm_is_what_loops_over_normalised_queries_and_keys_give(block_of, tokens, heads_per_kv):
    spec = BlockSpec("attn", (("heads_per_kv", heads_per_kv), ("n_heads", 4), ("qk_norm", True)))
    mixer, x_BTD = block_of(spec).mixer, 2 * tokens(1, 9)
    generator = torch.Generator().manual_seed(1)
    gains = [torch.rand(8, generator=generator, dtype=torch.float64) for _ in range(2)]
    mixer.q_norm.weight.data, mixer.k_norm.weight.data = gains

    (y_TD,) = mixer(x_BTD)

    gains = (gains[0].tolist(), gains[1].tolist())
    mixed_TD = attention_by_loops(x_BTD[0], mixer.qkv.weight.detach(), 4, 4 // heads_per_kv, gains)
    torch.testing.assert_close(y_TD, mixed_TD @ mixer.out_proj.weight.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("heads_per_kv", [1, 2])
def test_a_gate_weighs_each_head_of_each_token_by_a_number_of_its_own(block_of, tokens, heads_per_kv):
    spec = BlockSpec("attn", (("gate", True), ("heads_per_kv", heads_per_kv), ("n_heads", 4)))
    mixer, x_BTD = block_of(spec).mixer, 2 * tokens(1, 9)

    (y_TD,) = mixer(x_BTD)

    mixed_TD = attention_by_loops(x_BTD[0], mixer.qkv.weight.detach(), 4, 4 // heads_per_kv)
    gate_TH = 1 / (1 + torch.exp(-torch.einsum("td,hd->th", x_BTD[0], mixer.gate.weight)))
    out_DHE = mixer.out_proj.weight.view(32, 4, 8)
    expected_TD = torch.einsum("the,th,dhe->td", mixed_TD.view(9, 4, 8), gate_TH, out_DHE)
    torch.testing.assert_close(y_TD, expected_TD, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("pull", "let_through"), [(1e4, 1.0), (-1e4, 0.0)])
@pytest.mark.parametrize("text", ["attn", "attn[heads_per_kv=2,qk_norm=true]", "swa[window=8]"])
def test_a_wide_open_gate_changes_no_bit_and_a_closed_one_lets_nothing_through(
    block_of, tokens, text, pull, let_through
):
    (spec,) = parse_blocks(text)
    plain, gated = block_of(spec).mixer, block_of(with_gate(spec)).mixer
    missing, unexpected = gated.load_state_dict(plain.state_dict(), strict=False)
    x_BTD = tokens(2, 21)
    x_BTD[..., 0] = 1  # which the gates go by
    gated.gate.weight.data = torch.zeros_like(gated.gate.weight)
    gated.gate.weight.data[:, 0] = pull

    y_BTD = gated(x_BTD)

    assert (missing, unexpected) == (["gate.weight"], [])
    assert torch.equal(y_BTD, let_through * plain(x_BTD))


def test_dropout_of_attention_weights_acts_in_training_and_changes_no_mean(block_of, tokens):
    mixer, plain = block_of(BlockSpec("attn"), dropout=0.25).mixer, block_of(BlockSpec("attn")).mixer
    x_BTD, n_draws = tokens(1, 6), 8192

    y_BTD = mixer(x_BTD.expand(n_draws, -1, -1))

    exact_TD = plain(x_BTD)[0]
    assert not torch.equal(y_BTD[0], y_BTD[1])
    assert (y_BTD.mean(0) - exact_TD).norm() < 0.03 * exact_TD.norm()
    assert torch.equal(mixer.eval()(x_BTD)[0], exact_TD)


def test_rotary_positions_matter_by_their_distance_alone():
    q_BTHE, k_BTHE = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def score(query_at: int, key_at: int) -> float:
        return float((rotate(q_BTHE, query_at) * rotate(k_BTHE, key_at)).sum())

    assert score(7, 4) == pytest.approx(score(3, 0), rel=1e-12)
    assert score(1003, 1000) == pytest.approx(score(3, 0), rel=1e-12)
    assert score(4, 4) == pytest.approx(score(0, 0), rel=1e-12)
    assert score(3, 0) != pytest.approx(score(2, 0), rel=1e-3)


def test_rotation_at_the_first_position_changes_nothing_and_nowhere_changes_a_length():
    x_BTHE = torch.randn(1, 5, 2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    turned_BTHE = rotate(x_BTHE, 0)

    assert torch.equal(turned_BTHE[:, 0], x_BTHE[:, 0])
    torch.testing.assert_close(turned_BTHE.norm(dim=-1), x_BTHE.norm(dim=-1), rtol=1e-12, atol=0)


def test_a_narrow_vector_is_turned_in_fp32_and_rounded_once():
    """In bf16 itself position 1001 would be 1000, and an angle would have three digits."""
    x_BTHE = torch.randn(1, 1, 1, 64, generator=torch.Generator().manual_seed(0)).bfloat16()

    turned_BTHE = rotate(x_BTHE, 1001)

    assert turned_BTHE.dtype == torch.bfloat16
    assert torch.equal(turned_BTHE, rotate(x_BTHE.float(), 1001).bfloat16())


def test_rotation_tables_made_in_inference_mode_can_be_trained_with(block_of, tokens):
    """They are shared by all blocks, so the first text generated must not spoil later training."""
    attn._rope_table.cache_clear()
    block = block_of(BlockSpec("attn"))
    with torch.inference_mode():
        block(tokens(1, 5))

    block(tokens(1, 5)).sum().backward()

    assert (block.mixer.qkv.weight.grad != 0).any()


def test_grouped_heads_keep_a_smaller_cache(block_of, tokens):
    block = block_of(BlockSpec("attn", (("heads_per_kv", 2),)))

    _, state = block.advance(tokens(3, 7), block.mixer.initial_state(3))

    assert [tuple(each.shape) for each in state] == [(3, 2, 7, 8), (3, 2, 7, 8)]


@pytest.mark.parametrize(
    ("text", "width", "message"),
    [
        ("attn", 36, r"attn\[n_heads=4\] does not fit d=36: d must be a multiple of 2 \* n_heads"),
        ("attn[n_heads=0]", 32, r"attn\[n_heads=0\] does not fit"),
        ("attn[n_heads=-2]", 32, r"attn\[n_heads=-2\] does not fit"),
        ("attn[heads_per_kv=3]", 32, r"attn\[heads_per_kv=3\] must divide n_heads=4"),
        ("attn[heads_per_kv=8]", 32, r"attn\[heads_per_kv=8\] must divide n_heads=4"),
        ("attn[heads_per_kv=0]", 32, r"attn\[heads_per_kv=0\] must divide n_heads=4"),
        ("attn[n_heads=4.0]", 32, "n_heads must be of type int"),
        ("attn[n_heads=true]", 32, "n_heads must be of type int"),
    ],
)
def test_options_that_do_not_fit_are_refused(text, width, message):
    (spec,) = parse_blocks(text)

    with pytest.raises(LayoutError, match=message):
        KINDS["attn"].read_options(spec, width)


def test_an_option_that_no_one_knows_is_refused():
    (spec,) = parse_blocks("attn[heads=4]")

    with pytest.raises(
        UnknownName, match="unknown option of block kind 'attn' 'heads'; known: gate, heads_per_kv, n_heads, qk_norm"
    ):
        KINDS["attn"].read_options(spec, 32)
