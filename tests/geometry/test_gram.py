"""Legend: n increments, D entries of a flattened tensor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from growlab.geometry.gram import extend_gram, gram


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), n=st.integers(0, 7), shape=st.sampled_from([(1,), (9,), (3, 4), (2, 3, 5), ()]))
def test_entries_are_the_inner_products_of_the_flattened_increments(seed, n, shape):
    increments = draw(seed, n, *shape)

    gram_nn = gram(list(increments))

    assert gram_nn.shape == (n, n)
    assert gram_nn.dtype == torch.float64
    velocity_nD = increments.reshape(n, -1) if n else torch.zeros(0, 1, dtype=torch.float64)
    torch.testing.assert_close(gram_nn, velocity_nD @ velocity_nD.T, rtol=1e-13, atol=1e-13)
    assert torch.equal(gram_nn, gram_nn.T)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), n=st.integers(0, 6))
def test_extending_by_the_newest_gives_the_matrix_of_all(seed, n):
    increments = list(draw(seed, n + 1, 4, 3))

    extended = extend_gram(gram(increments[:-1]), increments[:-1], increments[-1])

    assert torch.equal(extended, gram(increments))


def test_a_window_slides_by_dropping_the_first_row_and_column():
    increments = list(draw(0, 6, 10))

    slid = extend_gram(gram(increments[:-1])[1:, 1:], increments[1:-1], increments[-1])

    assert torch.equal(slid, gram(increments[1:]))


def test_shards_of_a_tensor_add_up_to_its_gram_matrix():
    whole = draw(0, 5, 12, 7)
    shards = whole.split([3, 4, 5], dim=1)

    total = sum(gram(list(shard)) for shard in shards)

    torch.testing.assert_close(total, gram(list(whole)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_increments_are_widened_before_they_are_multiplied(dtype):
    narrow = draw(0, 4, 1000, dtype=dtype)

    assert torch.equal(gram(list(narrow)), gram(list(narrow.double())))


def test_increments_need_not_lie_in_one_piece():
    increments = draw(0, 3, 4, 6)

    turned = gram([each.T for each in increments])

    torch.testing.assert_close(turned, gram(list(increments)), rtol=1e-13, atol=1e-13)


def test_the_sum_of_all_entries_survives_a_window_far_from_the_origin():
    """Increments first: a Gram matrix of raw fp32 snapshots at this distance has no digit left."""
    steps = draw(0, 8, 500, dtype=torch.float32) * 1e-3
    snapshots = 100 + torch.cat((torch.zeros(1, 500), steps)).cumsum(0)

    gram_nn = gram(list(snapshots.diff(dim=0)))

    moved = (snapshots[-1].double() - snapshots[0].double()).square().sum()
    torch.testing.assert_close(gram_nn.sum(), moved, rtol=1e-10, atol=0)


def test_a_matrix_of_the_wrong_shape_is_refused():
    with pytest.raises(TypeCheckError, match="gram_nn"):
        extend_gram(torch.zeros(2, 3, dtype=torch.float64), [], torch.zeros(3))
