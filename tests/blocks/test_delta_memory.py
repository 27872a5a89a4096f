"""The chunked delta rule against its recurrence, token by token, and against that of transformers.

Legend: B batch, H heads, T tokens, K entries of a key, V of a value, C tokens of a chunk.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from growlab.blocks.decaying_memory import LONGEST
from growlab.blocks.delta_memory import revise, unit_inverse

B, H, K, V = 2, 3, 5, 4
LENGTHS = [1, 2, 37, LONGEST, LONGEST + 1, 256]


def draw(T: int, alpha: float = 1.0, dtype: torch.dtype = torch.float64, decay: float | None = None):
    """Queries, keys of length 1, values, ln a, b; of decays between 0.1 and 1, times alpha, or all alike."""
    random = torch.Generator().manual_seed(T)
    q, k, v = (torch.randn(B, H, T, width, generator=random, dtype=torch.float64) for width in (K, K, V))
    decays = torch.empty(B, H, T, dtype=torch.float64).uniform_(0.1, 1, generator=random)
    log_decay = (alpha * decays).log() if decay is None else torch.full_like(decays, math.log(alpha * decay))
    strength = torch.rand(B, H, T, generator=random, dtype=torch.float64)
    return [each.to(dtype).requires_grad_() for each in (q, F.normalize(k, dim=-1), v, log_decay, strength)]


def one_by_one(q, k, v, log_decay, strength, memory=None):
    memory = q.new_zeros(B, H, K, V) if memory is None else memory
    outputs = []
    for q_t, k_t, v_t, decay_t, b_t in zip(
        *(each.unbind(2) for each in (q, k, v, log_decay.exp(), strength)), strict=True
    ):
        memory = decay_t[..., None, None] * memory
        correction = b_t[..., None] * (v_t - (k_t[:, :, None] @ memory)[:, :, 0])
        memory = memory + k_t[..., None] * correction[:, :, None]
        outputs.append((q_t[:, :, None] @ memory)[:, :, 0])
    return torch.stack(outputs, dim=2), memory


def gradients(read, inputs, *more):
    weights = torch.randn(read.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(read.dtype)
    return torch.autograd.grad((read * weights).sum(), [*inputs, *more], allow_unused=True, materialize_grads=True)


def furthest(found, exact) -> float:
    """Relative to the length of what is exact; of zeros, absolute."""
    pairs = zip(found, exact, strict=True)
    return max(((one - other).norm() / (other.norm() or 1)).item() for one, other in pairs)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("T", [*LENGTHS, 1024, pytest.param(4096, marks=pytest.mark.slow)])
def test_chunks_read_what_the_recurrence_reads_and_pass_its_gradients_on(T, alpha):
    inputs = draw(T, alpha)

    read, after = revise(*inputs)
    expected, _ = one_by_one(*inputs)

    assert after is None
    assert furthest([read], [expected]) < 1e-12
    assert furthest(gradients(read, inputs), gradients(expected, inputs)) < 1e-11


@pytest.mark.parametrize("T", LENGTHS)
def test_a_memory_is_carried_on(T):
    inputs = draw(T)
    start = torch.randn(B, H, K, V, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    read, after = revise(*inputs, start)
    expected, expected_after = one_by_one(*inputs, start)

    assert furthest([read, after], [expected, expected_after]) < 1e-12
    assert furthest(gradients(read, inputs, start), gradients(expected, inputs, start)) < 1e-11


@pytest.mark.parametrize("decay", [None, 0.1, 0.5, 0.99, 1.0])
def test_over_thousands_of_tokens_fp32_is_near_fp64(decay):
    narrow, exact = draw(4096, dtype=torch.float32, decay=decay), draw(4096, decay=decay)

    read, expected = revise(*narrow)[0], revise(*exact)[0]

    assert furthest([read.double()], [expected]) < 1e-5
    assert furthest([each.double() for each in gradients(read, narrow)], gradients(expected, exact)) < 1e-5


def test_fast_forgetting_over_16_thousand_tokens_stays_finite():
    inputs = draw(16_384, 0.1, torch.float32, decay=0.1)

    read, _ = revise(*inputs)

    assert read.isfinite().all()
    assert all(each.isfinite().all() for each in gradients(read, inputs))


def test_keys_that_are_all_alike_lose_no_digits():
    """There the entries of A are 1: its powers are as large as 1e18, what is sought is 1 and -1."""
    alike = torch.ones(LONGEST, LONGEST).tril(-1)

    inverse = unit_inverse(alike)

    assert torch.equal(inverse, torch.eye(LONGEST) - torch.eye(LONGEST).roll(1, 0).tril(-1))


@pytest.mark.parametrize("C", [1, 2, 3, 5, 21, LONGEST])
def test_the_inverse_is_one(C):
    A = torch.randn(2, 3, C, C, dtype=torch.float64, generator=torch.Generator().manual_seed(C)).tril(-1) / 4

    identity = unit_inverse(A) @ (torch.eye(C, dtype=torch.float64) + A)

    torch.testing.assert_close(identity, torch.eye(C, dtype=torch.float64).expand(2, 3, C, C), rtol=0, atol=1e-12)


def test_a_key_that_comes_again_overwrites():
    key, other = F.normalize(torch.randn(2, K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=-1)
    other = F.normalize(other - (other @ key) * key, dim=-1)
    k = torch.stack((key, other, key))[None, None]
    v = torch.tensor([[[[1.0], [2.0], [3.0]]]], dtype=torch.float64)
    forever, fully = torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, 1, 3, dtype=torch.float64)

    of_key, _ = revise(key.expand(1, 1, 3, K), k, v, forever, fully)
    of_other, _ = revise(other.expand(1, 1, 3, K), k, v, forever, fully)

    torch.testing.assert_close(of_key[..., 0], torch.tensor([[[1.0, 1.0, 3.0]]], dtype=torch.float64))
    torch.testing.assert_close(of_other[..., 0], torch.tensor([[[0.0, 2.0, 2.0]]], dtype=torch.float64))


def test_what_is_kept_for_the_backward_pass_grows_as_the_text_does():
    def kept(T: int) -> int:
        storages = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: storages.setdefault(each.untyped_storage().data_ptr(), each), lambda each: each
        ):
            revise(*draw(T))
        return sum(each.untyped_storage().nbytes() for each in storages.values())

    assert kept(4 * 1024) == pytest.approx(4 * kept(1024), rel=0.01)


@pytest.mark.parametrize("name", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
def test_the_rule_is_that_of_transformers(name):
    from transformers.models.qwen3_next import modeling_qwen3_next

    q, k, v, log_decay, strength = (3 * each.detach().float() for each in draw(150))
    k, strength = F.normalize(k, dim=-1), strength / 3  # what is scaled up: queries, values and decays
    memory = torch.randn(B, H, K, V, generator=torch.Generator().manual_seed(2))
    theirs = getattr(modeling_qwen3_next, name)
    by_token = [each.transpose(1, 2) for each in (q * math.sqrt(K), k, v, log_decay, strength)]  # which it divides by

    expected, expected_after = theirs(*by_token, initial_state=memory, output_final_state=True)
    read, after = revise(q, k, v, log_decay, strength, memory)

    assert furthest([read, after], [expected.transpose(1, 2), expected_after]) < 1e-6
