"""On a GPU, where blocks compute by kernels: what every sequence kind keeps, and that definitions give the same.

Legend: B batch, T tokens, D width.
"""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from growlab.blocks import Block
from growlab.kernels import closed_doors
from growlab.kinds import role_of

pytestmark = pytest.mark.gpu
T = 37  # odd, and more than two chunks of any kernel for scans


@pytest.fixture
def block(spec, block_of) -> Block:
    if role_of(spec) != "sequence":
        pytest.skip("channel mixers have no recurrence")
    return block_of(spec, dtype=torch.float32).cuda()


@pytest.fixture
def x(tokens) -> Tensor:
    return tokens(3, T, dtype=torch.float32).cuda()


def of_a_step(block: Block, x_BTD: Tensor, *, bf16: bool = False) -> dict[str, Tensor]:
    """The output and all gradients, of a loss in which each output has a weight of its own."""
    x_BTD = x_BTD.detach().requires_grad_()
    with torch.autocast("cuda", torch.bfloat16) if bf16 else nullcontext():
        y_BTD, penalty = block.forward_with_penalty(x_BTD)
    weight_BTD = torch.randn(y_BTD.shape, generator=torch.Generator().manual_seed(1)).cuda()
    loss = (y_BTD * weight_BTD).sum()
    loss = loss if penalty is None else loss + penalty
    named = {"x": x_BTD} | dict(block.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()))
    return {"y": y_BTD.detach()} | dict(zip(named, gradients, strict=True))


def furthest(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest distance of a tensor from the exact one, as a part of that one's norm.

    A gradient of which hardly anything is left, as act's of its halting bias, counts as a tenth of the largest: what
    its terms lost when they cancelled is no error of a kernel.
    """
    norms = {name: float(tensor.norm()) for name, tensor in exact.items()}
    least = 0.1 * max(norms[name] for name in norms if name != "y")
    return max(float((found[name].double() - exact[name]).norm()) / max(norms[name], least) for name in exact)


def scale_of(outputs_BTD: Tensor) -> float:
    return max(1.0, float(outputs_BTD.detach().abs().max()))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_block_by_its_kernels_is_as_exact_as_by_its_definitions(spec, block, x, bf16):
    found = of_a_step(block, x, bf16=bf16)
    with closed_doors():
        plain = of_a_step(block, x, bf16=bf16)
        exact = of_a_step(block.double(), x.double())

    ours, theirs = furthest(found, exact), furthest(plain, exact)
    print(f"{spec}: kernels {ours:.1e}, definitions {theirs:.1e}")
    if bf16 and theirs > 0.05:
        pytest.skip("rounding decides here after how many passes a token halts, with kernels and without")
    assert ours <= max(1.5 * theirs, 1e-6)


@pytest.mark.filterwarnings("ignore:.*deterministic")  # of what has no such form in torch, and is none of ours
def test_the_same_step_gives_the_same_bits(block, x):
    # torch's attention under a mask, as hopfield's with a bank, adds its gradients up in any order else
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        once, again = of_a_step(block, x), of_a_step(block, x)
    finally:
        torch.use_deterministic_algorithms(False)

    assert all(torch.equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize("cuts", [[1], [16], [5, 6, 22], list(range(1, T))], ids=str)
def test_decoding_in_pieces_equals_the_forward_pass(block, x, cuts):
    state, outputs = block.mixer.initial_state(len(x)), []
    for start, end in zip([0, *cuts], [*cuts, T], strict=True):
        y, state = block.advance(x[:, start:end], state)
        outputs.append(y)

    whole = block(x)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, rtol=0, atol=2e-5 * scale_of(whole))


def test_a_later_token_changes_nothing_before_it(block, x):
    changed = x.clone()
    changed[:, 20:] += 1

    y, z = block(x), block(changed)

    torch.testing.assert_close(z[:, :20], y[:, :20], rtol=0, atol=1e-5 * scale_of(y))
    assert not torch.allclose(z[:, 20:], y[:, 20:])


def test_sequences_of_a_batch_do_not_see_one_another(block, x):
    together, alone = block(x), torch.cat([block(each[None]) for each in x])

    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5 * scale_of(together))
