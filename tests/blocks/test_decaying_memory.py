"""The chunked memory against its recurrence, token by token.

Legend: B batch, H heads, T tokens, K entries of a key, V of a value, C tokens of a chunk.
"""

import math

import pytest
import torch

from growlab.blocks.decaying_memory import LONGEST, chunks, remember, segment_sums

B, H, K, V = 2, 3, 5, 4
LENGTHS = [1, 37, LONGEST, LONGEST + 1, 256, 300]


def draw(
    T: int, decay: float | None = None, dtype: torch.dtype = torch.float64, alpha: float = 1.0
) -> list[torch.Tensor]:
    """Queries, keys, values and ln a; of decays between 0.1 and 1, or all alike; times alpha."""
    random = torch.Generator().manual_seed(T)
    q, k, v = (torch.randn(B, H, T, width, generator=random, dtype=torch.float64) for width in (K, K, V))
    decays = torch.empty(B, H, T, dtype=torch.float64).uniform_(0.1, 1, generator=random)
    log_decay = (alpha * (decays if decay is None else torch.full_like(decays, decay))).log()
    return [each.to(dtype).requires_grad_() for each in (q, k, v, log_decay)]


def one_by_one(q, k, v, log_decay, memory=None):
    memory = q.new_zeros(B, H, K, V) if memory is None else memory
    outputs = []
    for t in range(q.shape[2]):
        memory = log_decay[:, :, t, None, None].exp() * memory + k[:, :, t, :, None] * v[:, :, t, None, :]
        outputs.append((q[:, :, t, None] @ memory)[:, :, 0])
    return torch.stack(outputs, dim=2), memory


def gradients(read, inputs, *more):
    weights = torch.randn(read.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(read.dtype)
    return torch.autograd.grad((read * weights).sum(), [*inputs, *more])


def furthest(found, exact) -> float:
    pairs = zip(found, exact, strict=True)
    return max(((one - other).norm() / other.norm()).item() for one, other in pairs)


@pytest.mark.parametrize("decay", [None, 1.0])
@pytest.mark.parametrize("T", LENGTHS)
def test_chunks_read_what_the_recurrence_reads_and_pass_its_gradients_on(T, decay):
    inputs = draw(T, decay)

    read, after = remember(*inputs)
    expected, _ = one_by_one(*inputs)

    assert after is None
    assert furthest([read], [expected]) < 1e-12
    used = inputs[:3] if T == 1 else inputs  # nothing is there to be forgotten by the first token
    assert furthest(gradients(read, used), gradients(expected, used)) < 1e-11


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("T", [37, 256, pytest.param(4096, marks=pytest.mark.slow)])
def test_plasticity_multiplies_every_decay(T, alpha):
    inputs = draw(T, alpha=alpha)

    read, expected = remember(*inputs)[0], one_by_one(*inputs)[0]

    assert furthest([read], [expected]) < 1e-12
    assert furthest(gradients(read, inputs), gradients(expected, inputs)) < 1e-11


@pytest.mark.parametrize("T", LENGTHS)
def test_a_memory_is_carried_on(T):
    inputs = draw(T)
    start = torch.randn(B, H, K, V, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    read, after = remember(*inputs, start)
    expected, expected_after = one_by_one(*inputs, start)

    assert furthest([read, after], [expected, expected_after]) < 1e-12
    assert furthest(gradients(read, inputs, start), gradients(expected, inputs, start)) < 1e-11


@pytest.mark.parametrize("decay", [None, 0.1, 0.5, 0.99, 1.0])
def test_over_thousands_of_tokens_fp32_is_near_fp64(decay):
    narrow, exact = draw(4096, decay, torch.float32), draw(4096, decay)

    read, expected = remember(*narrow)[0], remember(*exact)[0]

    assert furthest([read.double()], [expected]) < 1e-5
    assert furthest([each.double() for each in gradients(read, narrow)], gradients(expected, exact)) < 1e-5


@pytest.mark.parametrize("alpha", [1.0, 0.1])
def test_fast_forgetting_over_16_thousand_tokens_stays_finite(alpha):
    inputs = draw(16_384, 0.1, torch.float32, alpha)

    read, _ = remember(*inputs)

    assert read.isfinite().all()
    assert all(each.isfinite().all() for each in gradients(read, inputs))


def test_what_is_kept_for_the_backward_pass_grows_as_the_text_does():
    def kept(T: int) -> int:
        storages = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: storages.setdefault(each.untyped_storage().data_ptr(), each), lambda each: each
        ):
            remember(*draw(T))
        return sum(each.untyped_storage().nbytes() for each in storages.values())

    assert kept(4 * 1024) == pytest.approx(4 * kept(1024), rel=0.01)


def test_chunks_are_of_nearly_one_length():
    for T in range(1, 4 * LONGEST):
        n_chunks, length = chunks(T)

        assert length <= LONGEST
        assert T <= n_chunks * length < T + n_chunks


def test_segment_sums():
    sums = segment_sums(torch.tensor([5.0, 1.0, 2.0]))

    inf = math.inf
    assert sums.tolist() == [[0, -inf, -inf], [1, 0, -inf], [3, 2, 0]]
