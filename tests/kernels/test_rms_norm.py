"""The kernel of RMSNorm, in Triton's interpreter and on a GPU, against the definition.

Legend: S rows, D numbers of a row.
"""

import pytest
import torch

from growlab.blocks.rms_norm import DOOR, RMSNorm
from growlab.kernels.door import difference

CPU = torch.device("cpu")
SHAPES = [(1, 2), (5, 3), (37, 96), (2, 2100), (3, 5, 64)]


def draw_inputs(*shape: int) -> tuple[torch.Tensor | float, ...]:
    random = torch.Generator().manual_seed(shape[-1])
    return torch.randn(shape, generator=random), torch.randn(shape[-1], generator=random), 1e-6


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(shape):
    assert difference(DOOR, draw_inputs(*shape), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_a_program_takes_several_pieces_where_there_are_many(monkeypatch):
    monkeypatch.setattr("growlab.kernels.rms_norm.MOST_PROGRAMS", 2)
    monkeypatch.setattr("growlab.kernels.rms_norm.NUMBERS", 16)

    assert difference(DOOR, draw_inputs(17, 7), CPU) == ""


def test_on_a_cpu_the_norm_of_a_block_is_torchs_own():
    x, gain, eps = draw_inputs(5, 16)
    norm = RMSNorm(16, eps=eps)
    norm.weight.data = gain

    assert torch.equal(norm(x), torch.nn.functional.rms_norm(x, (16,), gain, eps))


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (64, 256, 192), (32, 128, 96), (16, 512, 768)], ids=str)
def test_on_a_gpu_the_kernel_gives_what_the_definition_gives(shape):
    assert difference(DOOR, draw_inputs(*shape), torch.device("cuda")) == ""
