"""The kernel of the selective scan, in Triton's interpreter and on a GPU, against the definition in float64.

Legend: B batch, T tokens, E channels, N states of a channel.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, library

from growlab.blocks import selective_scan
from growlab.kernels.door import difference, outputs_and_gradients

DOOR = selective_scan.DOOR
NAMES = ("u", "delta", "z", "a", "b", "c", "skip", "h")
CPU = torch.device("cpu")


def draw_inputs(B: int, T: int, E: int, N: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs whose times are between 0.001 and 3 per token."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    u, delta, z = draw(B, T, E), 2 * draw(B, T, E) - 2, draw(B, T, E)
    return u, delta, z, -draw(N, E).exp(), draw(B, T, N), draw(B, T, N), draw(E), draw(B, N, E)


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


# ---- in the interpreter --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (2, 7, 2, 1)], ids=str)
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(shape, monkeypatch):
    from growlab.kernels import selective_scan as kernels

    monkeypatch.setattr(kernels, "CHUNK", 4)  # for the interpreter is slow
    monkeypatch.setattr(kernels, "PART", 2)

    assert difference(DOOR, draw_inputs(*shape), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_in_the_interpreter_more_chunks_than_are_loaded_at_once_are_scanned_in_bf16(monkeypatch):
    from growlab.kernels import selective_scan as kernels

    monkeypatch.setattr(kernels, "CHUNK", 1)
    monkeypatch.setattr(kernels, "PART", 1)
    u, delta, z, *others = draw_inputs(1, 9, 2, 1)  # of nine chunks eight are loaded

    assert difference(DOOR, (u.bfloat16(), delta, z.bfloat16(), *others), CPU) == ""


# ---- on a GPU ------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu() -> torch.device:
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize(
    "shape", [(2, 21, 80, 16), (64, 256, 384, 16), (3, 1000, 97, 16), (1, 1, 1, 1), (5, 64, 256, 32)], ids=str
)
def test_on_a_gpu_the_kernel_is_as_exact_as_the_definition_in_fp32(gpu, shape):
    inputs = draw_inputs(*shape)
    exact = outputs_and_gradients(DOOR.definition, NAMES, inputs, gpu, torch.float64)
    plain = outputs_and_gradients(DOOR.definition, NAMES, inputs, gpu, torch.float32)
    found = outputs_and_gradients(DOOR.kernel(), NAMES, inputs, gpu, torch.float32)
    again = outputs_and_gradients(DOOR.kernel(), NAMES, inputs, gpu, torch.float32)

    for name, tensor in exact.items():
        ours, theirs = ((each[name] - tensor).norm() / tensor.norm() for each in (found, plain))
        print(f"{name}: kernel {ours:.1e}, definition {theirs:.1e}")
        assert ours <= max(2 * theirs, 1e-6), name
        assert torch.equal(found[name], again[name]), name


@pytest.mark.gpu
def test_in_bf16_only_inputs_and_outputs_are_rounded(gpu):
    u, delta, z, *others = (tensor.to(gpu) for tensor in draw_inputs(2, 50, 80, 16))
    u, z = u.bfloat16(), torch.cat((z, z), dim=-1).bfloat16()[..., :80]

    out, last = DOOR.kernel()(u, delta, z, *others)
    exact, exact_last = DOOR.definition(*(tensor.double() for tensor in (u, delta, z, *others)))

    assert (out.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(out.double(), exact, rtol=2**-8, atol=1e-5)
    torch.testing.assert_close(last.double(), exact_last, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("cut", [1, 16, 29])
def test_a_scan_in_two_parts_is_the_whole_scan(gpu, cut):
    u, delta, z, a, b, c, skip, h = (tensor.to(gpu) for tensor in draw_inputs(2, 50, 80, 16))
    kernel, first, second = DOOR.kernel(), slice(cut), slice(cut, None)

    whole, last = kernel(u, delta, z, a, b, c, skip, h)
    outs = []
    for part in (first, second):
        out, h = kernel(u[:, part], delta[:, part], z[:, part], a, b[:, part], c[:, part], skip, h)
        outs.append(out)

    torch.testing.assert_close(torch.cat(outs, 1), whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(h, last, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_a_rate_beyond_all_numbers_leaves_no_memory(gpu):
    u, delta, z, a, b, c, skip, h = (tensor.to(gpu) for tensor in draw_inputs(2, 21, 4, 16))
    a[:, 0], a[:, 1] = -torch.inf, -1e30
    inputs = [tensor.requires_grad_() for tensor in (u, delta, z, a, b, c, skip, h)]

    _, last = DOOR.kernel()(*inputs)
    gradients = torch.autograd.grad(last[..., 1:].square().sum(), inputs[:2] + inputs[3:5] + inputs[7:])

    now = F.softplus(delta)[:, -1, None] * u[:, -1, None] * b[:, -1, :, None]
    torch.testing.assert_close(last[..., :2], now[..., :2])
    assert all(gradient[..., 1:].isfinite().all() for gradient in gradients)
    assert not gradients[-1][..., 1].any()


@pytest.mark.gpu
def test_the_operators_keep_what_torch_asks_of_operators(gpu):
    from growlab.kernels import selective_scan as kernels

    inputs = [tensor.to(gpu).requires_grad_() for tensor in draw_inputs(1, 16, 3, 16)]

    library.opcheck(kernels._scan, inputs)


@pytest.mark.gpu
def test_numbers_in_float64_go_to_the_definition(gpu, monkeypatch):
    """The leak alarm asks a copy in float64 whether a change was rounding."""
    inputs = [tensor.to(gpu) for tensor in draw_inputs(1, 16, 3, 16)]

    narrow, _ = selective_scan.gated_scan(*inputs)
    wide, _ = selective_scan.gated_scan(*(tensor.double() for tensor in inputs))

    assert (narrow.dtype, wide.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-4, atol=1e-5)
