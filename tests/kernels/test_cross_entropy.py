"""The kernel of the loss of a large vocabulary, in Triton's interpreter and on a GPU, against the definition.

Legend: S tokens, V vocabulary.
"""

import pytest
import torch

from growlab.data.batches import IGNORED
from growlab.kernels.door import difference
from growlab.model.cross_entropy import DOOR, LARGE

CPU = torch.device("cpu")


def draw_inputs(S: int, V: int, spread: float = 3.0) -> tuple[torch.Tensor | int, ...]:
    random = torch.Generator().manual_seed(V)
    logits, targets = spread * torch.randn(S, V, generator=random), torch.randint(V, (S,), generator=random)
    targets[1::3] = IGNORED
    return logits, targets, IGNORED


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("S", "V", "dtype"),
    [
        *[(S, V, torch.float32) for S, V in ((4, 4096), (3, 4097), (1, 7), (2, 12_000))],
        (3, 4097, torch.bfloat16),  # which the interpreter cuts, where a GPU rounds
    ],
)
def test_in_the_interpreter_the_kernel_gives_what_the_definition_gives(S, V, dtype):
    logits, *others = draw_inputs(S, V)

    assert difference(DOOR, (logits.to(dtype), *others), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_logits_that_overflow_as_powers_and_a_certain_token_are_no_matter():
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -2e4, -1e4]], requires_grad=True)

    loss = DOOR.kernel()(logits, torch.tensor([0, 2]), IGNORED)
    loss.backward()

    assert loss.item() == pytest.approx(torch.tensor(2.0).log().item() / 2, rel=1e-6)
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0.0, 0.0], [0.25, 0.0, -0.25]]))


def test_a_small_vocabulary_goes_by_the_definition_and_a_large_one_through_the_door():
    logits, targets, ignored = draw_inputs(2, LARGE - 1)
    large, *_ = draw_inputs(2, LARGE)

    assert not DOOR.fits(logits, targets, ignored)
    assert DOOR.fits(large, targets, ignored)
    assert DOOR.fits(large.bfloat16(), targets, ignored)
    assert not DOOR.fits(large.double(), targets, ignored)


@pytest.mark.gpu
@pytest.mark.parametrize(("S", "V"), [(1, 1), (7, 4097), (300, 50_257)])
def test_on_a_gpu_the_kernel_gives_what_the_definition_gives(S, V):
    assert difference(DOOR, draw_inputs(S, V), torch.device("cuda")) == ""


@pytest.mark.gpu
def test_in_bf16_only_the_gradient_is_rounded():
    logits, targets, ignored = draw_inputs(64, 20_000)
    logits, targets = logits.bfloat16().cuda().requires_grad_(), targets.cuda()
    exact = logits.detach().double().requires_grad_()

    loss = DOOR.kernel()(logits, targets, ignored)
    loss.backward()
    expected = DOOR.definition(exact, targets, ignored)
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=2**-8, atol=1e-9)
