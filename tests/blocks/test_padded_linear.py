import pytest
import torch
from torch import nn

from growlab.blocks import padded_linear
from growlab.layout import parse_blocks


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_rows_of_zeros_change_neither_output_nor_gradients(kind, block_of, tokens, monkeypatch):
    block, x = block_of(parse_blocks(kind)[0], dtype=torch.float64), tokens(2, 21, dtype=torch.float64)

    def outputs_and_gradients() -> list[torch.Tensor]:
        y = block(x)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
        return [y, *torch.autograd.grad((y * weights).sum(), list(block.parameters()))]

    plain = outputs_and_gradients()
    monkeypatch.setattr(padded_linear, "_pays", lambda x: True)
    padded = outputs_and_gradients()

    for ours, theirs in zip(padded, plain, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_cpu_multiplies_as_it_did():
    linear, x = nn.Linear(1024, 37, bias=False), torch.randn(2, 512, 1024)

    assert torch.equal(padded_linear.padded_linear(linear, x), linear(x))


@pytest.mark.gpu
def test_on_a_gpu_large_inputs_are_multiplied_by_padded_matrices_of_the_same_product():
    linear, x = nn.Linear(1024, 37, bias=False).cuda(), torch.randn(1, 1024, 1024).cuda()

    y = padded_linear.padded_linear(linear, x)

    assert y.stride(1) == 48
    torch.testing.assert_close(y, linear(x), rtol=1e-5, atol=1e-5)
