"""Attention within a window by FlashAttention, on a GPU, against its definition; who goes through its door.

Legend: B batch, T tokens, H query heads, G key-value heads, E head size, W window.
"""

import pytest
import torch
from torch import Tensor

from growlab.blocks.window_attention import DOOR
from growlab.kernels.door import difference, outputs_and_gradients

NAMES = ("q", "k", "v", "window", "p_dropout")


def draw_inputs(B: int, H: int, G: int, T: int, E: int, W: int) -> tuple[Tensor | int | float, ...]:
    random = torch.Generator().manual_seed(T)
    q, k, v = (torch.randn(shape, generator=random).bfloat16() for shape in ((B, H, T, E), *[(B, G, T, E)] * 2))
    return q, k, v, W, 0.0


def test_what_has_no_window_beyond_it_is_wide_or_drops_goes_by_the_definition() -> None:
    q, k, v, window, _ = draw_inputs(1, 2, 2, 9, 8, 4)

    assert DOOR.fits(q, k, v, window, 0.0)
    assert not DOOR.fits(q, k, v, 9, 0.0)
    assert not DOOR.fits(q, k, v, window, 0.1)
    assert not DOOR.fits(q.float(), k, v, window, 0.0)
    assert not DOOR.fits(*draw_inputs(1, 2, 2, 9, 12, 4))
    assert all(DOOR.fits(*example) for example in DOOR.examples())


def test_the_operator_has_the_gradient_and_the_shapes_that_the_definition_has() -> None:
    """Where there is no data: on a CPU the operator does not run."""
    q, k, v, *how = draw_inputs(2, 4, 2, 30, 8, 7)
    given = [tensor.to("meta").requires_grad_() for tensor in (q, k, v)]

    attended = DOOR.kernel()(*given, *how)
    gradients = torch.autograd.grad(attended, given, torch.empty_like(attended))

    assert (attended.shape, attended.dtype) == (q.shape, q.dtype)
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in given]


SHAPES = [(2, 4, 4, 256, 64, 128), (1, 4, 2, 300, 24, 30), (2, 2, 2, 1001, 128, 64), (1, 8, 4, 4096, 32, 128)]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_on_a_gpu_it_gives_what_the_definition_gives(shape: tuple[int, ...]) -> None:
    assert difference(DOOR, draw_inputs(*shape), torch.device("cuda")) == ""


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 2, 700, 64, 256)], ids=str)
def test_on_a_gpu_it_is_as_exact_as_its_definition_in_bf16(shape: tuple[int, ...]) -> None:
    inputs, gpu = draw_inputs(*shape), torch.device("cuda")
    exact = outputs_and_gradients(DOOR.definition, NAMES, inputs, gpu, torch.float64)
    plain = outputs_and_gradients(DOOR.definition, NAMES, inputs, gpu, torch.float32)  # bf16 stays what it is
    found = outputs_and_gradients(DOOR.kernel(), NAMES, inputs, gpu, torch.float32)

    for name, tensor in exact.items():
        ours, theirs = ((each[name] - tensor).norm() / tensor.norm() for each in (found, plain))
        print(f"{name}: kernel {ours:.1e}, definition {theirs:.1e}")
        assert ours <= max(1.5 * theirs, 1e-3), name
