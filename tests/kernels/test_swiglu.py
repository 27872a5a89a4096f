"""The kernel of the gate, in Triton's interpreter and on a GPU, against the definition."""

import pytest
import torch

from growlab.blocks.swiglu import DOOR
from growlab.kernels.door import difference


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 12), (1, 2, 6), (2, 2 * 260)], ids=str)
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(shape, dtype):
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")

    assert difference(DOOR, (draw(*shape).to(dtype),), torch.device("cpu")) == ""


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(1, 2), (3, 5, 2 * 272), (16384, 1024)], ids=str)
def test_on_a_gpu_the_kernel_gives_what_the_definition_gives(shape):
    assert difference(DOOR, (draw(*shape),), torch.device("cuda")) == ""


@pytest.mark.gpu
def test_in_bf16_only_the_output_is_rounded():
    inner = draw(50, 64).cuda().bfloat16()

    y = DOOR.kernel()(inner)

    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), DOOR.definition(inner.double()), rtol=2**-8, atol=1e-6)
