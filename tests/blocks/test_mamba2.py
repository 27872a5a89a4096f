"""Mamba-2 against loops over its formula and against another implementation.

Legend: B batch, T tokens, D width, H heads, P head size, N d_state.
"""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks import block_cost
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec

SPEC = BlockSpec("mamba2", (("d_state", 16),))


def by_the_formula(mixer, x_TD: torch.Tensor) -> torch.Tensor:
    E, N, H = mixer.d_inner, mixer.d_state, mixer.n_heads
    z_TE, entering, delta_TH = torch.split(x_TD @ mixer.in_proj.weight.T, [E, E + 2 * N, H], dim=-1)
    kernel = mixer.filter.weight[:, 0]  # (channels, tokens), the present one last
    padded = torch.cat((entering.new_zeros(mixer.past, E + 2 * N), entering))
    memory, outputs = x_TD.new_zeros(H, N, E // H), []
    for t in range(len(x_TD)):
        filtered = F.silu((padded[t : t + mixer.past + 1].T * kernel).sum(1) + mixer.filter.bias)
        u, b, c = filtered[:E].view(H, -1), filtered[E : E + N], filtered[E + N :]
        read = torch.empty_like(u)
        for h in range(H):
            dt = F.softplus(delta_TH[t, h] + mixer.dt_bias[h])
            memory[h] = torch.exp(-dt * mixer.A_log[h].exp()) * memory[h] + dt * torch.outer(b, u[h])
            read[h] = c @ memory[h] + mixer.D[h] * u[h]
        y = read.flatten() * F.silu(z_TE[t])
        outputs.append(mixer.out_proj.weight @ (mixer.norm.weight * y / (y.square().mean() + 1e-6).sqrt()))
    return torch.stack(outputs)


def test_a_block_is_its_formula(block_of, tokens):
    mixer, x_BTD = block_of(SPEC).mixer, tokens(1, 70)

    with torch.no_grad():
        y_BTD, expected_TD = mixer(x_BTD), by_the_formula(mixer, x_BTD[0])

    torch.testing.assert_close(y_BTD[0], expected_TD, rtol=1e-11, atol=1e-11)


def test_mamba2_is_that_of_transformers(block_of, tokens, monkeypatch):
    from transformers import Mamba2Config
    from transformers.models.mamba2 import modeling_mamba2

    for name in ("mamba2_split_conv1d_scan_combined", "mamba2_chunk_scan", "causal_conv1d_fn"):  # the plain ones
        monkeypatch.setattr(modeling_mamba2, name, inspect.unwrap(getattr(modeling_mamba2, name)))
    mixer = block_of(SPEC, dtype=torch.float32).mixer
    config = Mamba2Config(
        hidden_size=32,
        state_size=16,
        expand=2,
        conv_kernel=4,
        num_heads=4,
        head_dim=16,
        n_groups=1,
        chunk_size=8,
        use_bias=False,
        layer_norm_epsilon=1e-6,
    )
    theirs = modeling_mamba2.Mamba2Mixer(config, layer_idx=0).eval()
    theirs.load_state_dict({name.replace("filter", "conv1d"): each for name, each in mixer.state_dict().items()})
    x_BTD = tokens(2, 70, dtype=torch.float32)

    y_BTD, z_BTD = mixer(x_BTD), theirs(x_BTD)

    assert (y_BTD - z_BTD).norm() <= 1e-6 * z_BTD.norm()
    for name, parameter in theirs.named_parameters():  # at this size a hundredth of any of them would be noticed
        parameter.data.mul_(1.01)
        assert (theirs(x_BTD) - y_BTD).norm() >= 1e-5 * y_BTD.norm(), name
        parameter.data.div_(1.01)


def test_the_starts_are_those_of_the_paper(block_of):
    mixer = block_of(BlockSpec("mamba2", (("n_heads", 8),)), bold=False).mixer

    assert (mixer.A_log.exp() >= 1).all()
    assert (mixer.A_log.exp() <= 16).all()
    assert (F.softplus(mixer.dt_bias) >= 1e-3 * 0.999).all()
    assert (F.softplus(mixer.dt_bias) <= 1e-1 * 1.001).all()


def test_without_reading_the_state_the_input_passes_by_it(block_of, tokens):
    mixer, x_BTD = block_of(SPEC).mixer, tokens(2, 20)
    filtered = mixer.filter.weight.data
    filtered[-16:] = 0  # C
    mixer.filter.bias.data[-16:] = 0
    read = mixer(x_BTD)

    mixer.A_log.data += 1

    assert torch.equal(mixer(x_BTD), read)


def test_a_long_text_costs_what_is_told(block_of, tokens):
    block, x_BTD = block_of(SPEC), tokens(2, 200)

    with FlopCounterMode(display=False) as counter:
        block(x_BTD)

    assert counter.get_total_flops() == 2 * block_cost(SPEC, 32, 200).matmul_flops


def test_time_constants_are_not_extrapolated(block_of):
    mixer = block_of(SPEC).mixer

    assert all(each.copied_at_growth for each in (mixer.dt_bias, mixer.A_log, mixer.D))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((("n_heads", 5),), r"mamba2\[n_heads=5\] must divide expand \* d = 64"),
        ((("d_state", 0),), r"mamba2\[d_state=0\] must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["mamba2"].read_options(BlockSpec("mamba2", options), 32)
