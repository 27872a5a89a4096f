"""The kernel of the short causal filter, in Triton's interpreter and on a GPU, against the definition.

Legend: B batch, T tokens, E channels, K tokens that the filter sees, S = K - 1 of them past.
"""

import pytest
import torch
from torch import Tensor

from growlab.blocks.causal_filter import DOOR
from growlab.kernels.door import difference
from growlab.kernels.rows import evenly_spaced

CPU = torch.device("cpu")


def draw_inputs(B: int, T: int, E: int, K: int, silu: bool) -> tuple[Tensor | bool, ...]:
    random = torch.Generator().manual_seed(T)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    return draw(B, T, E), draw(B, E, K - 1), draw(E, 1, K), draw(E), silu


def of_a_wider_product(x: Tensor) -> Tensor:
    return torch.cat((x, x), dim=-1)[..., : x.shape[-1]]


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


SHAPES = [(2, 5, 3, 4), (1, 1, 70, 3), (1, 5, 2, 1), (2, 2, 3, 5)]


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("shape", "silu", "dtype"),
    [
        (SHAPES[0], True, torch.float32),
        (SHAPES[1], False, torch.float32),
        (SHAPES[2], True, torch.float32),
        (SHAPES[3], True, torch.bfloat16),
    ],
)
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(shape, silu, dtype, monkeypatch):
    from growlab.kernels import causal_filter as kernels

    monkeypatch.setattr(kernels, "TOKENS", 4)  # for the interpreter is slow
    x, past, *others = draw_inputs(*shape, silu)

    assert difference(DOOR, (x.to(dtype), past.to(dtype), *others), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_a_part_of_a_wider_product_is_read_where_it_lies():
    x, *others = draw_inputs(2, 3, 4, 2, True)
    part = of_a_wider_product(x)

    assert evenly_spaced(part) is part
    assert torch.equal(DOOR.kernel()(part, *others)[0], DOOR.kernel()(x, *others)[0])
    assert evenly_spaced(part.transpose(0, 1)).is_contiguous()


@pytest.mark.gpu
@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (3, 70, 144, 4), (64, 256, 384, 4)], ids=str)
def test_on_a_gpu_the_kernel_gives_what_the_definition_gives(shape, silu):
    assert difference(DOOR, draw_inputs(*shape, silu), torch.device("cuda")) == ""


@pytest.mark.gpu
def test_in_bf16_only_inputs_and_outputs_are_rounded():
    x, past, weight, bias, silu = (
        value.cuda() if isinstance(value, Tensor) else value for value in draw_inputs(2, 50, 80, 4, True)
    )
    x, past = x.bfloat16(), past.bfloat16()

    y, _ = DOOR.kernel()(x, past, weight, bias, silu)
    exact, _ = DOOR.definition(x.double(), past.double(), weight.double(), bias.double(), silu)

    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=1e-6)
