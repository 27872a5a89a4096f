"""The kernel of the selective scan, in Triton's interpreter and on a GPU, against the definition in float64.

Legend: B batch, T tokens, E channels, N states of a channel.
"""

import pytest
import torch
from torch import Tensor, library

from growlab.blocks import selective_scan
from growlab.kernels.door import difference, outputs_and_gradients

DOOR = selective_scan.DOOR
NAMES = ("u", "dt", "a", "b", "c", "h")
CPU = torch.device("cpu")


def draw_inputs(B: int, T: int, E: int, N: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    dt_BTE, a_NE = (draw(B, T, E) - 2).exp(), -draw(N, E).exp()
    return draw(B, T, E), dt_BTE, a_NE, draw(B, T, N), draw(B, T, N), draw(B, N, E)


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


# ---- in the interpreter --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (2, 9, 5, 1), (1, 8, 70, 2)])
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(shape):
    assert difference(DOOR, draw_inputs(*shape), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_a_rate_beyond_all_numbers_leaves_no_memory_and_no_gradient_that_is_none():
    inputs = list(draw_inputs(1, 9, 3, 1))  # of which seven tokens are padding
    inputs[2][0, 0], inputs[2][0, 1] = -torch.inf, -1e30
    u, dt, a, b, c, h = (tensor.requires_grad_() for tensor in inputs)

    y_BTE, last_BNE = DOOR.kernel()(u, dt, a, b, c, h)

    now_BTE = c * b * dt * u
    torch.testing.assert_close(y_BTE[..., :2], now_BTE[..., :2])
    torch.testing.assert_close(last_BNE[..., :2], (b * dt * u)[:, -1:, :2])


# ---- on a GPU ------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_gpu() -> torch.device:
    return torch.device("cuda")


GPU_SHAPES = [(2, 21, 80, 16), (1, 1, 1, 1), (3, 1000, 97, 5), (5, 64, 256, 32), (64, 256, 384, 16)]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", GPU_SHAPES, ids=str)
def test_on_a_gpu_the_kernel_is_as_exact_as_the_definition_in_fp32(on_gpu, shape):
    inputs = draw_inputs(*shape)
    exact = outputs_and_gradients(DOOR.definition, NAMES, inputs, on_gpu, torch.float64)
    plain = outputs_and_gradients(DOOR.definition, NAMES, inputs, on_gpu, torch.float32)
    found = outputs_and_gradients(DOOR.kernel(), NAMES, inputs, on_gpu, torch.float32)
    again = outputs_and_gradients(DOOR.kernel(), NAMES, inputs, on_gpu, torch.float32)

    for name, tensor in exact.items():
        ours, theirs = ((each[name] - tensor).norm() / tensor.norm() for each in (found, plain))
        print(f"{name}: kernel {ours:.1e}, definition {theirs:.1e}")
        assert ours <= max(2 * theirs, 3e-7), name
        assert torch.equal(found[name], again[name]), name


@pytest.mark.gpu
def test_a_cut_scan_is_the_whole_scan(on_gpu):
    u, dt, a, b, c, h = (tensor.to(on_gpu) for tensor in draw_inputs(2, 50, 80, 16))
    kernel = DOOR.kernel()

    whole_BTE, whole_BNE = kernel(u, dt, a, b, c, h)
    first_BTE, h = kernel(u[:, :13], dt[:, :13], a, b[:, :13], c[:, :13], h)
    second_BTE, h = kernel(u[:, 13:], dt[:, 13:], a, b[:, 13:], c[:, 13:], h)

    torch.testing.assert_close(torch.cat((first_BTE, second_BTE), 1), whole_BTE, rtol=0, atol=1e-5)
    torch.testing.assert_close(h, whole_BNE, rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_the_operators_keep_what_torch_asks_of_operators(on_gpu):
    from growlab.kernels import selective_scan as kernels

    inputs = [tensor.to(on_gpu).requires_grad_() for tensor in draw_inputs(1, 16, 3, 2)]

    library.opcheck(kernels._scan, inputs)


@pytest.mark.gpu
def test_the_door_is_open_on_a_gpu_and_narrow_or_wide_inputs_pass_by_it(on_gpu, monkeypatch):
    seen = []
    monkeypatch.setattr(selective_scan, "_scan", lambda *inputs: seen.append(inputs[0].dtype) or _of(*inputs))
    inputs = [tensor.to(on_gpu) for tensor in draw_inputs(1, 16, 3, 2)]

    selective_scan.selective_scan(*inputs)
    assert seen == []

    selective_scan.selective_scan(*(tensor.double() for tensor in inputs))
    assert seen == [torch.float64]


_of = selective_scan._scan
