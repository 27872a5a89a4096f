"""Principal directions against a plain SVD of the velocities.

Legend: n increments, D entries of a flattened tensor, r directions.
"""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from growlab.geometry.subspace import (
    Directions,
    modes_above_noise,
    norm,
    normalise,
    principal_directions,
    project,
)

seeds = st.integers(0, 999)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def velocities(seed: int, n: int, D: int, *, decades: float = 1) -> torch.Tensor:
    """A velocity matrix whose singular values fall over so many powers of ten."""
    left_nn, right_Dn = torch.linalg.qr(noise(seed, n, n)).Q, torch.linalg.qr(noise(seed + 1, D, n)).Q
    return left_nn @ (torch.logspace(0, -decades, n, dtype=torch.float64)[:, None] * right_Dn.T)


def closed(velocity_nD: torch.Tensor) -> torch.Tensor:
    """One more increment leads back to the start."""
    return torch.cat((velocity_nD, -velocity_nD.sum(0, keepdim=True)))


def vectors(velocity_nD: torch.Tensor, directions: Directions) -> torch.Tensor:
    return directions.coefficients.T @ velocity_nD


def rounded_otherwise(gram_nn: torch.Tensor, seed: int) -> torch.Tensor:
    """The same Gram matrix from a machine that sums in another order: the last digit differs."""
    error_nn = 2e-16 * noise(seed, *gram_nn.shape)
    return gram_nn * (1 + (error_nn + error_nn.T) / 2)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(1, 14), extra=st.integers(0, 40), centred=st.booleans())
def test_directions_are_the_right_singular_vectors_of_the_velocities(seed, n, extra, centred):
    velocity_nD = velocities(seed, n, n + extra) + (noise(seed + 2, n + extra) if centred else 0)

    found = principal_directions(velocity_nD @ velocity_nD.T, centred=centred)

    plain_nD = velocity_nD - velocity_nD.mean(0) if centred else velocity_nD
    _, sigma_n, right_nD = torch.linalg.svd(plain_nD, full_matrices=False)
    r = n - centred
    assert found.singular_values.shape == (r,)
    torch.testing.assert_close(found.singular_values, sigma_n[:r], rtol=1e-10, atol=0)
    q_rD = vectors(velocity_nD, found)
    same_sign_r = (q_rD * right_nD[:r]).sum(1).sign()[:, None]
    torch.testing.assert_close(q_rD, same_sign_r * right_nD[:r], rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(1, 14), decades=st.floats(0, 8), centred=st.booleans())
@example(seed=0, n=2, decades=5.75, centred=False)
def test_directions_are_orthonormal_and_fall_however_steep_the_spectrum(seed, n, decades, centred):
    velocity_nD = velocities(seed, n, 20, decades=decades)

    found = principal_directions(velocity_nD @ velocity_nD.T, centred=centred)

    q_rD = vectors(velocity_nD, found)
    assert len(q_rD) <= n - centred
    torch.testing.assert_close(q_rD @ q_rD.T, torch.eye(len(q_rD), dtype=torch.float64), rtol=0, atol=1e-5)
    assert (found.singular_values.diff() <= 0).all()
    assert (found.singular_values > 0).all()


@pytest.mark.parametrize(("n", "D", "centred", "rank"), [(14, 40, True, 13), (14, 40, False, 14), (9, 4, False, 4)])
def test_there_are_as_many_directions_as_the_velocities_span(n, D, centred, rank):
    velocity_nD = noise(0, n, D)

    found = principal_directions(velocity_nD @ velocity_nD.T, centred=centred)

    assert found.coefficients.shape == (n, rank)


@pytest.mark.parametrize("centred", [True, False])
def test_what_never_moved_has_no_direction(centred):
    assert principal_directions(torch.zeros(5, 5, dtype=torch.float64), centred=centred).coefficients.shape == (5, 0)


def test_a_steady_pace_has_one_direction_and_none_once_its_mean_is_removed():
    gram_nn = torch.ones(6, 6, dtype=torch.float64)

    assert principal_directions(gram_nn, centred=False).singular_values.tolist() == pytest.approx([math.sqrt(6)])
    assert principal_directions(gram_nn, centred=True).coefficients.shape == (6, 0)


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(2, 14), centred=st.booleans())
def test_directions_point_to_where_the_path_ends(seed, n, centred):
    velocity_nD = noise(seed, n, 20)

    found = principal_directions(velocity_nD @ velocity_nD.T, centred=centred)

    assert (vectors(velocity_nD, found) @ velocity_nD.sum(0) >= 0).all()


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(1, 12), decades=st.floats(0, 4))
def test_directions_of_a_closed_path_have_a_positive_leading_coefficient(seed, n, decades):
    velocity_nD = closed(velocities(seed, n, 20, decades=decades))

    coefficients_nr = principal_directions(velocity_nD @ velocity_nD.T).coefficients

    assert coefficients_nr.shape[1] > 0
    for coefficients_n in coefficients_nr.T:
        near_largest = coefficients_n[coefficients_n.abs() > (1 - 1e-6) * coefficients_n.abs().max()]
        assert near_largest[0] > 0


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(1, 12), decades=st.floats(0.5, 4), is_closed=st.booleans(), centred=st.booleans())
def test_the_last_digit_of_a_gram_matrix_turns_no_direction_around(seed, n, decades, is_closed, centred):
    velocity_nD = velocities(seed, n, 20, decades=decades)
    velocity_nD = closed(velocity_nD) if is_closed else velocity_nD
    gram_nn = velocity_nD @ velocity_nD.T

    here = principal_directions(gram_nn, centred=centred)
    there = principal_directions(rounded_otherwise(gram_nn, seed), centred=centred)

    agreement_r = (vectors(velocity_nD, here) * vectors(velocity_nD, there)).sum(1)
    assert agreement_r.tolist() == pytest.approx([1] * len(agreement_r), abs=1e-5)


def test_two_opposite_steps_leave_a_tie_that_goes_to_the_first():
    gram_nn = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)

    for seed in range(20):
        first, second = principal_directions(rounded_otherwise(gram_nn, seed)).coefficients[:, 0].tolist()
        assert (first, second) == pytest.approx((1 / 2, -1 / 2))


def test_the_same_matrix_gives_the_same_bits():
    velocity_nD = noise(0, 14, 100)
    gram_nn = velocity_nD @ velocity_nD.T

    once, again = principal_directions(gram_nn), principal_directions(gram_nn.clone())

    assert torch.equal(once.coefficients, again.coefficients)
    assert torch.equal(once.singular_values, again.singular_values)


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(2, 12), k=st.integers(0, 12))
def test_projecting_twice_is_projecting_once(seed, n, k):
    velocity_nD = noise(seed, n, 20)
    gram_nn = velocity_nD @ velocity_nD.T
    dominant_nk = principal_directions(gram_nn).coefficients[:, :k]
    one_n, other_n = noise(seed + 1, 2, n)

    once_n = project(gram_nn, dominant_nk, one_n)

    q_kD = dominant_nk.T @ velocity_nD
    torch.testing.assert_close(once_n @ velocity_nD, q_kD.T @ (q_kD @ (one_n @ velocity_nD)), rtol=0, atol=1e-9)
    torch.testing.assert_close(project(gram_nn, dominant_nk, once_n), once_n, rtol=0, atol=1e-9)
    symmetric = float(other_n @ gram_nn @ once_n - project(gram_nn, dominant_nk, other_n) @ gram_nn @ one_n)
    assert symmetric == pytest.approx(0, abs=1e-8)
    assert norm(gram_nn, once_n) <= norm(gram_nn, one_n) * (1 + 1e-12)


def test_a_projection_on_no_direction_is_zero():
    gram_nn = torch.ones(4, 4, dtype=torch.float64)

    assert project(gram_nn, torch.zeros(4, 0, dtype=torch.float64), noise(0, 4)).tolist() == [0, 0, 0, 0]


@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(1, 12), scale=st.floats(1e-8, 1e8))
def test_a_unit_vector_has_length_1_at_every_scale(seed, n, scale):
    velocity_nD = scale * noise(seed, n, 20)
    gram_nn, vector_n = velocity_nD @ velocity_nD.T, noise(seed + 1, n)

    assert norm(gram_nn, vector_n) == pytest.approx(float((vector_n @ velocity_nD).norm()), rel=1e-9)
    assert norm(gram_nn, normalise(gram_nn, vector_n)) == pytest.approx(1, rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(1, 12))
def test_a_vector_that_is_zero_but_for_rounding_stays_zero(seed, n):
    """The displacement of a closed path: blown up to length 1, it would be a random direction."""
    velocity_nD = closed(noise(seed, n, 20))
    gram_nn = rounded_otherwise(velocity_nD @ velocity_nD.T, seed)

    assert normalise(gram_nn, torch.ones(n + 1, dtype=torch.float64)).tolist() == [0] * (n + 1)


def test_a_vector_must_have_a_coefficient_for_each_increment():
    with pytest.raises(TypeCheckError, match="vector_n"):
        norm(torch.eye(3, dtype=torch.float64), torch.ones(4, dtype=torch.float64))


# ---- how many of them are more than noise ------------------------------------------------------------------------


def planted(seed: int, rank: int, n: int = 14, D: int = 2000, *, times: float) -> torch.Tensor:
    """Noise of n increments, and in it so many directions whose singular values are 4, 3.5, … times its own, √D."""
    left_nr, right_Dr = (torch.linalg.qr(noise(seed + at, size, rank)).Q for at, size in ((1, n), (2, D)))
    sizes_r = times * math.sqrt(D) * torch.linspace(1, 0.6, rank, dtype=torch.float64)
    return noise(seed, n, D) + left_nr * sizes_r @ right_Dr.T


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
@pytest.mark.parametrize("times", [5, 30])
@pytest.mark.parametrize("D", [60, 2000, 20_000])
@pytest.mark.parametrize("seed", [0, 10])
def test_a_planted_rank_is_found_in_noise(rank, times, D, seed):
    velocity_nD = planted(seed, rank, D=D, times=times)

    sigma_r = principal_directions(velocity_nD @ velocity_nD.T, centred=False).singular_values

    assert modes_above_noise(sigma_r, D) == rank


@pytest.mark.parametrize("D", [3, 14, 200, 20_000])
@pytest.mark.parametrize("n", [1, 2, 3, 14, 40])
def test_noise_alone_has_hardly_a_direction(n, D):
    found = []
    for seed in range(20):
        velocity_nD = noise(seed, n, D)
        sigma_r = principal_directions(velocity_nD @ velocity_nD.T).singular_values
        found.append(modes_above_noise(sigma_r, D))

    assert min(found) == 1
    assert sum(k > 1 for k in found) <= 1


@pytest.mark.parametrize(
    ("spectrum", "k"),
    [
        ([], 1),
        ([5.0], 1),
        ([10, 1], 1),
        ([1, 1, 1, 1], 1),
        ([100, 30, 10, 1, 1, 1, 1, 1], 3),  # the first has the energy; the widest gap is after the third
        ([100, 90, 2, 1, 1, 1, 1, 1], 2),  # above the floor, but behind the gap
        ([10, 9.9, 4, 3.9, 1, 1, 1, 1, 1, 1], 4),  # gaps after the second and the fourth: what is wider decides
        ([10, 9.9, 2.9, 2, 1, 1, 1, 1, 1, 1], 2),
        ([10, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1, 1], 5),  # the gap after the first would leave half of the energy
    ],
)
def test_floor_energy_and_gap_choose_together(spectrum, k):
    assert modes_above_noise(torch.tensor(spectrum, dtype=torch.float64), n_entries=10**6) == k
