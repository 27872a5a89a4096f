"""Mamba and its selective scan against loops that are slow and plain, and against a second implementation.

Legend: B batch, T tokens, D width, E channels, N states of a channel, R rank of the rates.
"""

import inspect
import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, library

from growlab.blocks import build_block, selective_scan
from growlab.blocks.selective_scan import CHUNK, scan_flops
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec, parse_blocks

NAMES = ("u", "dt", "a", "b", "c", "h")
scan = selective_scan.selective_scan


def draw_inputs(
    T: int, *, B: int = 2, E: int = 5, N: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[Tensor]:
    """u, dt, a, b, c and a state; rates between 0.001 and 3 per token."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    dt_BTE, a_NE = (draw(B, T, E) - 2).exp(), -draw(N, E).exp()
    inputs = [draw(B, T, E), dt_BTE, a_NE, draw(B, T, N), draw(B, T, N), draw(B, N, E)]
    return [each.to(dtype).requires_grad_() for each in inputs]


def scan_by_loop(
    u_BTE: Tensor, dt_BTE: Tensor, a_NE: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BNE: Tensor
) -> tuple[Tensor, Tensor]:
    outputs = []
    for t in range(u_BTE.shape[1]):
        decay_BNE = torch.exp(torch.einsum("be,ne->bne", dt_BTE[:, t], a_NE))
        h_BNE = decay_BNE * h_BNE + torch.einsum("be,bn,be->bne", dt_BTE[:, t], b_BTN[:, t], u_BTE[:, t])
        outputs.append(torch.einsum("bn,bne->be", c_BTN[:, t], h_BNE))
    return torch.stack(outputs, dim=1), h_BNE


def outputs_and_gradients(run, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Of a loss in which every output and the last state have a weight of their own."""
    y_BTE, last_BNE = run(*inputs)
    random = torch.Generator().manual_seed(9)
    weights = [
        torch.randn(each.shape, generator=random, dtype=torch.float64).to(each.dtype) for each in (y_BTE, last_BNE)
    ]
    loss = (y_BTE * weights[0]).sum() + (last_BNE * weights[1]).sum()
    gradients = torch.autograd.grad(loss, inputs)
    return {"y": y_BTE.detach(), "last": last_BNE.detach()} | dict(zip(NAMES, gradients, strict=True))


# ---- the scan ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 7, 64, 128, 200])
def test_the_scan_and_its_gradients_are_those_of_a_loop_over_tokens(T):
    inputs = draw_inputs(T)

    ours, theirs = outputs_and_gradients(scan, inputs), outputs_and_gradients(scan_by_loop, inputs)

    for name, exact in theirs.items():
        error = (ours[name] - exact).abs().max() / exact.abs().max()
        assert error <= 1e-12, name


@pytest.mark.parametrize("T", [128, 2048])
def test_the_scan_in_fp32_is_near_the_loop_in_fp64(T):
    narrow = [each.detach().float().requires_grad_() for each in draw_inputs(T)]
    wide = [each.detach().double().requires_grad_() for each in narrow]

    ours, exact = outputs_and_gradients(scan, narrow), outputs_and_gradients(scan_by_loop, wide)

    for name in exact:
        assert (ours[name] - exact[name]).norm() <= 2e-6 * exact[name].norm(), name


def test_the_gradient_is_that_of_finite_differences():
    inputs = draw_inputs(CHUNK + 2, B=1, E=2, N=2)

    assert torch.autograd.gradcheck(scan, inputs)


def test_the_operators_keep_what_torch_asks_of_operators():
    """Schema, shapes without data, autograd and tracing: what a compiler relies on."""
    inputs = draw_inputs(CHUNK + 1, B=1, E=2, N=2)

    library.opcheck(selective_scan._scan, inputs)


def test_inputs_may_lie_in_memory_in_any_order():
    inputs = draw_inputs(20)
    strided = [each.detach().transpose(-2, -1).contiguous().transpose(-2, -1).requires_grad_() for each in inputs]

    ours, theirs = outputs_and_gradients(scan, strided), outputs_and_gradients(scan, inputs)

    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("cut", [1, CHUNK, CHUNK + 5])
def test_a_scan_in_two_parts_gives_the_same_bits(cut):
    *inputs, h_BNE = draw_inputs(40, dtype=torch.float32)
    u, dt, a, b, c = inputs

    whole_BTE, whole_BNE = scan(*inputs, h_BNE)
    first_BTE, h_BNE = scan(u[:, :cut], dt[:, :cut], a, b[:, :cut], c[:, :cut], h_BNE)
    second_BTE, h_BNE = scan(u[:, cut:], dt[:, cut:], a, b[:, cut:], c[:, cut:], h_BNE)

    assert torch.equal(torch.cat((first_BTE, second_BTE), dim=1), whole_BTE)
    assert torch.equal(h_BNE, whole_BNE)


def test_twice_the_same_scan_gives_twice_the_same_bits():
    inputs = draw_inputs(100, E=64, N=16, dtype=torch.float32)

    once, again = outputs_and_gradients(scan, inputs), outputs_and_gradients(scan, inputs)

    assert all(torch.equal(once[name], again[name]) for name in once)


def test_without_time_the_state_stays_as_it_is():
    u, dt, a, b, c, h_BNE = draw_inputs(50)

    y_BTE, last_BNE = scan(u, torch.zeros_like(dt), a, b, c, h_BNE)

    assert torch.equal(last_BNE, h_BNE)
    torch.testing.assert_close(y_BTE, torch.einsum("btn,bne->bte", c, h_BNE), rtol=1e-14, atol=1e-14)


def test_an_infinite_rate_leaves_no_memory():
    u, dt, a, b, c, h_BNE = draw_inputs(50)
    now_BTE = torch.einsum("btn,bte,btn->bte", c, dt * u, b)

    y_BTE, _ = scan(u, dt, torch.full_like(a, -math.inf), b, c, h_BNE)

    torch.testing.assert_close(y_BTE, now_BTE, rtol=1e-14, atol=1e-14)


def test_an_immense_rate_leaves_no_memory_and_finite_gradients():
    inputs = draw_inputs(50)
    inputs[2] = torch.full_like(inputs[2], -1e30).requires_grad_()

    found = outputs_and_gradients(scan, inputs)

    assert all(each.isfinite().all() for each in found.values())
    assert not found["h"].any()
    assert not found["a"].any()


@pytest.mark.parametrize(("T", "n_chunks"), [(1, 1), (CHUNK, 1), (CHUNK + 1, 2), (16 * CHUNK, 16)])
def test_a_scan_keeps_its_inputs_and_one_state_for_each_chunk(T, n_chunks):
    inputs, kept = draw_inputs(T, B=2, E=5, N=3), {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scan(*inputs)

    of_the_states = [each for name, each in kept.items() if name not in {each.data_ptr() for each in inputs}]
    assert [each.numel() for each in of_the_states] == [n_chunks * 2 * 5 * 3]


def test_one_token_works_on_one_token():
    u, dt, a, b, _, _ = draw_inputs(1)

    assert len(selective_scan._States(u, dt, a, b).buffer()) == 1


@dataclass
class Tally:
    """A number that counts what is done with it."""

    value: float
    operations: list[str] = field(default_factory=list)

    def then(self, value: float, operation: str) -> "Tally":
        self.operations.append(operation)
        return Tally(value, self.operations)

    def __mul__(self, other: "Tally") -> "Tally":
        return self.then(self.value * other.value, "*")

    def __add__(self, other: "Tally") -> "Tally":
        return self.then(self.value + other.value, "+")

    def exp(self) -> "Tally":
        return self.then(math.exp(self.value), "exp")


def test_the_operations_that_are_told_are_those_of_the_recurrence():
    T, E, N, done = 3, 2, 4, []
    one, y = Tally(-1.0, done), Tally(0.0, done)
    h_EN = [[one] * N for _ in range(E)]

    for _ in range(T):
        for e in range(E):
            x = one * one
            for n in range(N):
                h_EN[e][n] = (one * one).exp() * h_EN[e][n] + one * x
                y = y + one * h_EN[e][n]

    assert scan_flops(T, E, N) == len(done)


@pytest.mark.gpu
def test_the_scan_on_a_gpu_is_that_on_the_cpu_and_can_be_captured():
    here = draw_inputs(50, dtype=torch.float32)
    there = [each.detach().cuda().requires_grad_() for each in here]

    def step(inputs: list[Tensor]) -> list[Tensor]:
        y_BTE, last_BNE = scan(*inputs)
        gradients = torch.autograd.grad(y_BTE.square().sum() + last_BNE.square().sum(), inputs)
        return [y_BTE.detach(), last_BNE.detach(), *gradients]

    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        eager = step(there)
    with torch.cuda.graph(graph, stream=stream):
        captured = step(there)
    graph.replay()
    torch.cuda.synchronize()

    for exact, one, other in zip(step(here), eager, captured, strict=True):
        assert (one.cpu() - exact).norm() <= 1e-5 * exact.norm()
        assert torch.equal(one, other)


# ---- the block -----------------------------------------------------------------------------------------------------


def mamba_by_loops(mixer: torch.nn.Module, x_TD: Tensor) -> Tensor:
    """One sequence, one token, one channel and one state at a time."""
    T, (E, N) = len(x_TD), mixer.A_log.shape
    R = mixer.dt_proj.weight.shape[1]
    filter_EK = mixer.filter.weight[:, 0].flip(1)  # torch's filters run from the oldest token to the newest
    value_TE, gate_TE = x_TD @ mixer.in_proj.weight[:E].T, x_TD @ mixer.in_proj.weight[E:].T
    h_EN, y_TE = torch.zeros(E, N, dtype=torch.float64), torch.zeros(T, E, dtype=torch.float64)
    for t in range(T):
        u_E = mixer.filter.bias.clone()
        for back in range(min(filter_EK.shape[1], t + 1)):
            u_E = u_E + filter_EK[:, back] * value_TE[t - back]
        u_E = u_E / (1 + torch.exp(-u_E))
        projected = mixer.x_proj.weight @ u_E
        delta_R, b_N, c_N = projected[:R], projected[R : R + N], projected[R + N :]
        for e in range(E):
            dt = torch.log1p(torch.exp(mixer.dt_proj.weight[e] @ delta_R + mixer.dt_bias[e]))
            for n in range(N):
                rate = -torch.exp(mixer.A_log[e, n])
                h_EN[e, n] = torch.exp(dt * rate) * h_EN[e, n] + dt * b_N[n] * u_E[e]
                y_TE[t, e] += c_N[n] * h_EN[e, n]
            y_TE[t, e] += mixer.D[e] * u_E[e]
            y_TE[t, e] *= gate_TE[t, e] / (1 + torch.exp(-gate_TE[t, e]))
    return y_TE @ mixer.out_proj.weight.T


@pytest.mark.parametrize("options", [(), (("d_state", 3), ("expand", 1), ("kernel", 1))])
def test_mamba_is_what_loops_over_channels_and_states_give(block_of, tokens, options):
    spec = BlockSpec("mamba", options or (("d_state", 2),))
    mixer, x_BTD = block_of(spec).mixer.requires_grad_(False), tokens(1, 5)

    y_BTD = mixer(x_BTD)

    torch.testing.assert_close(y_BTD[0], mamba_by_loops(mixer, x_BTD[0]), rtol=1e-12, atol=1e-12)


def test_mamba_is_that_of_transformers(block_of, tokens, monkeypatch):
    from transformers import MambaConfig
    from transformers.models.mamba import modeling_mamba

    for name in ("mamba_selective_scan", "causal_conv1d_fn"):  # the plain ones, whatever kernels are installed
        monkeypatch.setattr(modeling_mamba, name, inspect.unwrap(getattr(modeling_mamba, name)))
    mixer = block_of(BlockSpec("mamba"), dtype=torch.float32).mixer
    config = MambaConfig(hidden_size=32, state_size=16, expand=2, conv_kernel=4, time_step_rank=2, use_bias=False)
    theirs = modeling_mamba.MambaMixer(config, layer_idx=0).eval()
    renamed = {"filter.weight": "conv1d.weight", "filter.bias": "conv1d.bias", "dt_bias": "dt_proj.bias"}
    theirs.load_state_dict({renamed.get(name, name): each for name, each in mixer.state_dict().items()})
    x_BTD = tokens(2, 50, dtype=torch.float32)

    y_BTD, z_BTD = mixer(x_BTD), theirs(x_BTD)

    assert (y_BTD - z_BTD).norm() <= 1e-6 * z_BTD.norm()
    for name, parameter in theirs.named_parameters():  # at this size a hundredth of any of them would be noticed
        parameter.data.mul_(1.01)
        assert (theirs(x_BTD) - y_BTD).norm() >= 1e-4 * y_BTD.norm(), name
        parameter.data.div_(1.01)


def test_without_reading_the_state_the_input_passes_by_the_scan(block_of, tokens):
    mixer, x_BTD = block_of(BlockSpec("mamba")).mixer, tokens(2, 20)
    mixer.D.data.normal_()
    mixer.x_proj.weight.data[-16:] = 0  # C

    y_BTD = mixer(x_BTD)

    value_BTE, gate_BTE = mixer.in_proj(x_BTD).chunk(2, dim=-1)
    u_BTE = F.silu(mixer.filter(F.pad(value_BTE.transpose(1, 2), (3, 0)))).transpose(1, 2)
    expected_BTD = mixer.out_proj(mixer.D * u_BTE * F.silu(gate_BTE))
    torch.testing.assert_close(y_BTD, expected_BTD, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_long_sequence_and_large_inputs_stay_finite(block_of, tokens, scale):
    mixer = block_of(BlockSpec("mamba"), dtype=torch.float32).mixer
    x_BTD = (scale * tokens(1, 4096, dtype=torch.float32)).requires_grad_()

    y_BTD = mixer(x_BTD)
    y_BTD.mean().backward()

    assert y_BTD.isfinite().all()
    assert x_BTD.grad.isfinite().all()
    assert all(each.grad.isfinite().all() for each in mixer.parameters())


def test_rates_and_states_are_fp32_under_autocast(block_of, tokens, monkeypatch):
    mixer, seen = block_of(BlockSpec("mamba"), dtype=torch.float32).mixer, []

    def spy(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        seen.extend(each.dtype for each in (*inputs, *scan(*inputs)))
        return scan(*inputs)

    monkeypatch.setattr(selective_scan, "selective_scan", spy)
    with torch.autocast("cpu", torch.bfloat16):
        y_BTD = mixer(tokens(1, 5, dtype=torch.float32))

    assert seen == [torch.float32] * 8
    assert y_BTD.dtype == torch.bfloat16


def test_a_model_whose_weights_are_bf16_still_scans_in_fp32(block_of, tokens):
    mixer = block_of(BlockSpec("mamba"), dtype=torch.bfloat16).mixer

    y_BTD, (_, h_BNE) = mixer.advance(tokens(1, 5, dtype=torch.bfloat16), mixer.initial_state(1))

    assert y_BTD.dtype == torch.bfloat16
    assert h_BNE.dtype == torch.float32


def test_decoding_carries_the_same_few_numbers_for_ever(block_of, tokens):
    mixer, x_BTD = block_of(BlockSpec("mamba")).mixer, tokens(3, 60)
    state = mixer.initial_state(3)

    shapes = set()
    for t in range(60):
        _, state = mixer.advance(x_BTD[:, t : t + 1], state)
        shapes.add(tuple(tuple(each.shape) for each in state))

    assert shapes == {((3, 64, 3), (3, 16, 64))}


# ---- at birth ------------------------------------------------------------------------------------------------------


def born(width: int = 512) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_block(BlockSpec("mamba"), width, max_depth=1, dropout=0.0).mixer


def test_steps_are_born_log_uniform_between_a_thousandth_and_a_tenth():
    dt_E = F.softplus(born().dt_bias.detach().double())

    place_E = ((dt_E / 1e-3).log() / math.log(100)).sort().values  # 0 at the least, 1 at the greatest step
    uniform_E = torch.linspace(0, 1, len(place_E), dtype=torch.float64)
    assert place_E[0] >= -1e-6
    assert place_E[-1] <= 1 + 1e-6
    assert (place_E - uniform_E).abs().max() < 1.63 / math.sqrt(
        len(place_E)
    )  # Kolmogorov and Smirnov, one in a hundred


def test_rates_are_born_as_the_whole_numbers_to_n_and_the_input_passes_whole():
    mixer = born()

    torch.testing.assert_close(-mixer.A_log.exp(), -torch.arange(1.0, 17).expand(1024, 16))
    assert (mixer.D == 1).all()


def test_the_tokens_decide_about_the_steps_as_in_the_paper():
    """Uniform in ± 1/√rank has a variance of a third of 1/rank."""
    weight_ER = born().dt_proj.weight

    assert weight_ER.shape == (1024, 32)
    assert weight_ER.std().item() == pytest.approx(1 / math.sqrt(3 * 32), rel=0.03)


def test_the_memories_of_a_newborn_block_span_two_decades():
    """The impulse response of one state is a geometric series; its sum over its first term is its length in tokens."""
    mixer, T = born(width=64), 4096
    dt_E, a_NE = F.softplus(mixer.dt_bias.detach()), -mixer.A_log.detach().T.exp()
    N, E = a_NE.shape
    impulse_NTE = torch.zeros(N, T, E)
    impulse_NTE[:, 0] = 1
    one_state_each_NTN = torch.eye(N)[:, None].expand(N, T, N)

    dt_NTE = dt_E.expand(N, T, E)
    response_NTE, _ = scan(impulse_NTE, dt_NTE, a_NE, one_state_each_NTN, one_state_each_NTN, torch.zeros(N, N, E))

    length_NE = response_NTE.sum(dim=1) / response_NTE[:, 0]
    torch.testing.assert_close(length_NE, 1 / -torch.expm1(dt_E * a_NE), rtol=0.02, atol=0)  # the longest is cut
    assert length_NE.max() / length_NE.min() >= 100


def test_time_constants_are_marked_so_that_no_weight_decay_pulls_at_them():
    mixer = born(width=32)

    decayed = {name for name, each in mixer.named_parameters() if each.dim() >= 2 and not hasattr(each, "no_decay")}
    assert decayed == {f"{name}.weight" for name in ("in_proj", "filter", "x_proj", "dt_proj", "out_proj")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mamba[expand=0]", r"mamba\[expand=0\] must be at least 1"),
        ("mamba[d_state=-1]", r"mamba\[d_state=-1\] must be at least 1"),
        ("mamba[kernel=0]", r"mamba\[kernel=0\] must be at least 1"),
        ("mamba[expand=1.5]", "expand must be of type int, like its default 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(text, message):
    (spec,) = parse_blocks(text)

    with pytest.raises(LayoutError, match=message):
        KINDS["mamba"].read_options(spec, 32)
