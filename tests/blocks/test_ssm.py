"""The diagonal SSM against its recurrence, computed with Python's complex numbers.

Legend: B batch, T tokens, E channels, N states of a channel.
"""

import cmath
import math

import pytest
import torch

from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec

LIN, REAL = BlockSpec("ssm"), BlockSpec("ssm", (("start", "real"),))


def rate(mixer, e: int, n: int) -> complex:
    """A of one state."""
    frequency = 0.0 if mixer.frequency is None else mixer.frequency[e, n].item()
    return complex(-math.exp(mixer.log_decay[e, n].item()), frequency)


def filtered_by_loops(mixer, inputs: list[float], e: int) -> list[float]:
    """What channel e makes of its scaled inputs, D left out."""
    n_states, dt = mixer.C.shape[1], math.exp(mixer.log_dt[e].item())
    state, outputs = [0j] * n_states, []
    for value in inputs:
        for n in range(n_states):
            a = rate(mixer, e, n)
            state[n] = cmath.exp(dt * a) * state[n] + (cmath.exp(dt * a) - 1) / a * value
        read = [complex(*mixer.C[e, n].tolist()) for n in range(n_states)]
        outputs.append(sum((c * h).real for c, h in zip(read, state, strict=True)))
    return outputs


@pytest.mark.parametrize("kind", [LIN, REAL], ids=str)
def test_the_filter_is_the_recurrence(block_of, tokens, kind):
    mixer, x_BTD = block_of(kind).mixer, 2 * tokens(1, 19)
    u_BTE, z_BTE = mixer._inputs(x_BTD)

    y_BTD = mixer(x_BTD)

    channels = [filtered_by_loops(mixer, u_BTE[0, :, e].tolist(), e) for e in range(32)]
    filtered_TE = torch.tensor(channels, dtype=torch.float64).T
    expected_TE = (filtered_TE + mixer.D * u_BTE[0]) * torch.nn.functional.silu(z_BTE[0])
    torch.testing.assert_close(y_BTD[0], expected_TE @ mixer.out_proj.weight.T, rtol=1e-12, atol=1e-12)


def test_the_starts_are_those_of_s4d(block_of):
    lin, real = (block_of(spec, bold=False).mixer for spec in (LIN, REAL))

    assert [rate(lin, 3, n) for n in range(16)] == pytest.approx([-0.5 + 1j * math.pi * n for n in range(16)])
    assert [rate(real, 3, n) for n in range(16)] == pytest.approx([-(n + 1.0) for n in range(16)])
    assert 1e-3 <= lin.log_dt.exp().min() < 2e-3
    assert 5e-2 < lin.log_dt.exp().max() <= 1e-1


def test_the_input_scale_is_learnt_and_scales_what_enters(block_of, tokens):
    mixer, x_BTD = block_of(LIN).mixer, tokens(2, 9)
    y_BTD = mixer(x_BTD)
    y_BTD.square().sum().backward()
    assert (mixer.scale.grad != 0).all()

    mixer.scale.data *= 3

    torch.testing.assert_close(mixer(x_BTD), 3 * y_BTD, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [LIN, REAL], ids=str)
def test_over_thousands_of_tokens_fp32_is_near_fp64(block_of, tokens, kind):
    x_BTD = tokens(1, 4096)

    y_BTD = block_of(kind, dtype=torch.float32)(x_BTD.float())

    exact_BTD = block_of(kind)(x_BTD)
    assert (y_BTD - exact_BTD).norm() < 1e-5 * exact_BTD.norm()


def test_time_constants_are_neither_decayed_nor_extrapolated(block_of):
    mixer = block_of(LIN).mixer

    for parameter in (mixer.log_dt, mixer.log_decay, mixer.frequency, mixer.D):
        assert parameter.no_decay
        assert parameter.copied_at_growth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((("d_state", 0),), r"ssm\[d_state=0\] must be at least 1"),
        ((("start", "hippo"),), r"ssm\[start=hippo\] must be lin or real"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["ssm"].read_options(BlockSpec("ssm", options), 32)
