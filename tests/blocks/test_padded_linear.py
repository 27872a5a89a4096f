import torch
from torch import nn

from growlab.blocks.padded_linear import _padded, padded_linear


def test_rows_of_zeros_change_neither_output_nor_gradients():
    linear = nn.Linear(24, 37, bias=False, dtype=torch.float64)
    x = torch.randn(2, 5, 24, dtype=torch.float64, requires_grad=True)
    weight_of_loss = torch.randn(2, 5, 37, dtype=torch.float64)

    plain, padded = linear(x), _padded(linear.weight, x)

    torch.testing.assert_close(padded, plain)
    for ours, theirs in zip(
        torch.autograd.grad((padded * weight_of_loss).sum(), (x, linear.weight)),
        torch.autograd.grad((plain * weight_of_loss).sum(), (x, linear.weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_cpu_multiplies_as_it_did():
    linear = nn.Linear(1024, 37, bias=False)
    x = torch.randn(2, 512, 1024)

    assert torch.equal(padded_linear(linear, x), linear(x))
