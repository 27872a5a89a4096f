"""Closed forms of τ, κ and what is corrected for noise.

Legend: S snapshots, n = S - 1 increments, D entries of a flattened tensor.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from growlab.geometry import trajectory
from growlab.geometry.gram import gram
from growlab.geometry.trajectory import (
    diffusion_exponent,
    displacement,
    drift_to_noise,
    drift_z,
    kappa,
    path_length,
    path_statistics,
    tau,
)
from growlab.records import PathStatistics

EVERY_STATISTIC = [
    statistic.__name__
    for statistic in (
        path_statistics,
        path_length,
        displacement,
        tau,
        kappa,
        diffusion_exponent,
        drift_to_noise,
        drift_z,
    )
]

walks = st.builds(
    lambda seed, n, D: random_walk(seed, n, D), st.integers(0, 999), n=st.integers(1, 12), D=st.integers(1, 30)
)


def gram_of(snapshots_SD: torch.Tensor) -> torch.Tensor:
    return gram(list(snapshots_SD.diff(dim=0)))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_walk(seed: int, n: int, D: int) -> torch.Tensor:
    return noise(seed, n + 1, D).cumsum(0)


def on_circle(share: float, n: int) -> torch.Tensor:
    """n equal steps along this share of a circle."""
    angle_S = torch.linspace(0, 2 * math.pi * share, n + 1, dtype=torch.float64)
    return torch.stack((angle_S.cos(), angle_S.sin()), dim=1)


def positions(*places: float) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


def drift_and_orthogonal_noise(n: int, drift: float) -> torch.Tensor:
    """The Gram matrix of n increments d + e_i, all of them orthogonal, ‖d‖ = drift and ‖e_i‖ = 1."""
    return torch.eye(n, dtype=torch.float64) + drift**2


# ---- τ and κ ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(steps=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12), D=st.integers(1, 50), seed=st.integers(0, 99))
def test_a_straight_line_has_tau_1_and_kappa_0_however_uneven_its_steps(steps, D, seed):
    along_S = torch.tensor([0.0, *steps], dtype=torch.float64).cumsum(0)
    snapshots = noise(seed, D) + torch.outer(along_S, noise(seed + 1, D))

    gram_nn = gram_of(snapshots)

    assert tau(gram_nn) == pytest.approx(1, abs=1e-6)
    assert kappa(gram_nn) == pytest.approx(0, abs=1e-6)


def test_there_and_back_and_there_is_three_times_as_long_as_straight():
    gram_nn = gram_of(positions(0, 1, 0, 1))

    assert tau(gram_nn) == 3
    assert kappa(gram_nn) == 0


def test_two_sides_of_a_right_triangle():
    gram_nn = gram_of(torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))

    assert path_length(gram_nn) == 7
    assert displacement(gram_nn) == 5
    assert tau(gram_nn) == pytest.approx(7 / 5, rel=1e-14)
    assert kappa(gram_nn) == pytest.approx((12 / 5 + 12 / 5) / (9 / 5 + 16 / 5), rel=1e-14)


def test_a_step_back_is_length_along_the_line_too():
    gram_nn = gram_of(torch.tensor([[0.0, 0.0], [3.0, 0.0], [2.0, 1.0], [3.0, 0.0]]))

    assert tau(gram_nn) == pytest.approx((3 + 2 * math.sqrt(2)) / 3, rel=1e-14)
    assert kappa(gram_nn) == pytest.approx((1 + 1) / (3 + 1 + 1), rel=1e-14)


@pytest.mark.parametrize("n", [2, 3, 14, 100])
def test_a_semicircle_of_n_chords(n):
    gram_nn = gram_of(on_circle(1 / 2, n))

    middle = [(step + 1 / 2) * math.pi / n for step in range(n)]
    assert tau(gram_nn) == pytest.approx(n * math.sin(math.pi / (2 * n)), rel=1e-12)
    assert kappa(gram_nn) == pytest.approx(
        sum(abs(math.cos(angle)) for angle in middle) / sum(math.sin(angle) for angle in middle), rel=1e-6
    )


def test_a_smooth_semicircle_tends_to_half_of_pi():
    velocity_nD = on_circle(1 / 2, 1000).diff(dim=0)

    assert tau(velocity_nD @ velocity_nD.T) == pytest.approx(math.pi / 2, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 3, 5, 14])
def test_a_closed_path_is_infinitely_long_and_bent(n, dtype):
    gram_nn = gram_of((1e-3 * on_circle(1, n) + 1).to(dtype)) if n > 2 else gram_of(positions(0, 1, 0).to(dtype))

    assert path_length(gram_nn) > 0
    assert displacement(gram_nn) == 0
    assert tau(gram_nn) == math.inf
    assert kappa(gram_nn) == math.inf
    assert diffusion_exponent(gram_nn) is None


@pytest.mark.parametrize("n", [1, 2, 4, 14])
def test_what_never_moved_has_no_shape(n):
    found = path_statistics(gram_of(torch.ones(n + 1, 5)))

    assert found == PathStatistics(
        tau=None,
        kappa=None,
        diffusion_exponent=None,
        drift_to_noise=None,
        drift_z=None,
        path=0.0,
        displacement=0.0,
    )


def test_a_single_increment_is_straight_and_says_nothing_of_noise():
    found = path_statistics(gram_of(torch.tensor([[0.0, 0.0], [3.0, 4.0]])))

    assert found == PathStatistics(
        tau=1.0,
        kappa=0.0,
        diffusion_exponent=None,
        drift_to_noise=None,
        drift_z=None,
        path=5.0,
        displacement=5.0,
    )


def test_a_rest_between_two_steps_changes_neither_length_nor_bend():
    rested, plain = gram_of(positions(0, 2, 2, 2, 1)), gram_of(positions(0, 2, 1))

    assert (tau(rested), kappa(rested)) == (tau(plain), kappa(plain)) == (3, 0)


@pytest.mark.parametrize("statistic", EVERY_STATISTIC)
def test_an_empty_window_is_refused(statistic):
    with pytest.raises(ValueError, match="at least one increment, got an empty window"):
        getattr(trajectory, statistic)(torch.zeros(0, 0, dtype=torch.float64))


@pytest.mark.parametrize("statistic", EVERY_STATISTIC)
def test_a_gram_matrix_is_square(statistic):
    with pytest.raises(TypeCheckError, match="gram_nn"):
        getattr(trajectory, statistic)(torch.zeros(2, 3, dtype=torch.float64))


def assert_same_shape(one: torch.Tensor, other: torch.Tensor) -> None:
    first, second = path_statistics(one), path_statistics(other)
    for name in ("tau", "kappa", "diffusion_exponent", "drift_to_noise", "drift_z"):
        expected, got = getattr(first, name), getattr(second, name)
        if name == "kappa" and expected is not None:  # a root: near 0 it has half as many digits as what is under it
            assert got**2 == pytest.approx(expected**2, rel=1e-6, abs=1e-10)
            continue
        assert got == (expected if expected is None else pytest.approx(expected, rel=1e-6, abs=1e-6)), name


@settings(deadline=None, max_examples=30)
@given(snapshots=walks, scale=st.floats(1e-6, 1e6))
def test_scale_changes_path_and_displacement_and_no_ratio(snapshots, scale):
    gram_nn, scaled = gram_of(snapshots), gram_of(scale * snapshots)

    assert_same_shape(gram_nn, scaled)
    assert path_length(scaled) == pytest.approx(scale * path_length(gram_nn), rel=1e-9)
    assert displacement(scaled) == pytest.approx(scale * displacement(gram_nn), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(snapshots=walks, seed=st.integers(0, 99))
def test_neither_a_rotation_nor_a_translation_changes_the_shape(snapshots, seed):
    D = snapshots.shape[1]
    rotation_DD = torch.linalg.qr(noise(seed, D, D)).Q

    moved = snapshots @ rotation_DD + 10 * noise(seed + 1, D)

    assert_same_shape(gram_of(snapshots), gram_of(moved))


@settings(deadline=None, max_examples=30)
@given(snapshots=walks)
def test_the_way_back_has_the_shape_of_the_way_there(snapshots):
    assert_same_shape(gram_of(snapshots), gram_of(snapshots.flip(0)))


@settings(deadline=None, max_examples=30)
@given(snapshots=walks)
def test_no_path_is_shorter_than_the_straight_line(snapshots):
    found = path_statistics(gram_of(snapshots))

    assert found.path >= found.displacement * (1 - 1e-12)
    assert found.tau >= 1 - 1e-12
    assert found.kappa >= 0


@pytest.mark.parametrize("n", [4, 14, 19])
def test_a_random_walk_in_many_dimensions_has_tau_root_n_and_kappa_root_n_minus_1(n):
    gram_nn = gram_of(random_walk(n, n, 20_000))

    assert tau(gram_nn) == pytest.approx(math.sqrt(n), rel=0.03)
    assert kappa(gram_nn) == pytest.approx(math.sqrt(n - 1), rel=0.03)
    assert diffusion_exponent(gram_nn) == pytest.approx(1 / 2, abs=0.01)


@settings(deadline=None, max_examples=20)
@given(n=st.integers(3, 15), drift=st.floats(0, 2), seed=st.integers(0, 99))
def test_in_many_dimensions_kappa_is_known_from_tau(n, drift, seed):
    D = 5_000
    increments = noise(seed, n, D) + drift * noise(seed + 1, D)

    gram_nn = gram(list(increments))

    assert kappa(gram_nn) == pytest.approx(math.sqrt(tau(gram_nn) ** 2 - 1), rel=0.03)


@settings(deadline=None, max_examples=50)
@given(n=st.integers(2, 20), drift=st.floats(0, 100))
def test_drift_plus_orthogonal_noise_has_closed_forms(n, drift):
    gram_nn = drift_and_orthogonal_noise(n, drift)

    assert tau(gram_nn) ** 2 == pytest.approx(n * (1 + drift**2) / (1 + n * drift**2), rel=1e-9)
    assert kappa(gram_nn) ** 2 == pytest.approx((n - 1) / (1 + n * drift**2), rel=1e-6)
    assert tau(gram_nn) ** 2 == pytest.approx(1 + kappa(gram_nn) ** 2, rel=1e-9)
    assert drift_to_noise(gram_nn) == pytest.approx(drift**2, rel=1e-9, abs=1e-12)


# ---- corrected for noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 14])
def test_the_diffusion_exponent_is_1_on_a_straight_line_and_half_for_independent_steps(n):
    assert diffusion_exponent(gram_of(positions(*range(n + 1)))) == pytest.approx(1, abs=1e-12)
    assert diffusion_exponent(drift_and_orthogonal_noise(n, drift=0)) == pytest.approx(1 / 2, abs=1e-12)


def test_steps_that_turn_back_have_an_exponent_below_half_and_a_negative_drift_to_noise_ratio():
    gram_nn = gram_of(positions(0, 3, 1, 4, 2, 5, 3))

    assert diffusion_exponent(gram_nn) < 1 / 2
    assert drift_to_noise(gram_nn) < 0
    assert drift_z(gram_nn) < 0


@pytest.mark.parametrize("drift", [0, 0.25, 1])
def test_the_mean_of_many_drift_to_noise_ratios_is_the_true_one(drift):
    D, n, n_draws = 200, 8, 400
    direction_D = torch.full((D,), drift / math.sqrt(D), dtype=torch.float64)
    velocity_KnD = noise(7, n_draws, n, D) / math.sqrt(D) + direction_D

    ratio_K = torch.tensor([drift_to_noise(gram_nn) for gram_nn in velocity_KnD @ velocity_KnD.mT])

    standard_error = float(ratio_K.std()) / math.sqrt(n_draws)
    assert float(ratio_K.mean()) == pytest.approx(drift**2, abs=3 * standard_error)
    assert standard_error < 0.01


def test_the_drift_test_is_standard_normal_under_noise_of_any_covariance():
    D, n, n_draws = 300, 10, 500
    sd_D = torch.linspace(0.1, 2, D, dtype=torch.float64)
    velocity_KnD = noise(1, n_draws, n, D) * sd_D

    z_K = torch.tensor([drift_z(gram_nn) for gram_nn in velocity_KnD @ velocity_KnD.mT])

    assert float(z_K.mean()) == pytest.approx(0, abs=0.12)
    assert float(z_K.std()) == pytest.approx(1, abs=0.1)


def test_the_drift_test_is_large_under_a_drift_that_a_quarter_of_the_noise_hides():
    D, n, n_draws = 1000, 14, 50
    velocity_KnD = noise(2, n_draws, n, D) + 0.25 * noise(3, D)

    z_K = torch.tensor([drift_z(gram_nn) for gram_nn in velocity_KnD @ velocity_KnD.mT])

    assert float(z_K.min()) > 4


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 99), n=st.sampled_from([4, 5]))
def test_the_drift_test_is_what_plain_loops_over_distinct_increments_give(seed, n):
    V = noise(seed, n, 6)

    contrasts = [float((V[i] - V[k]) @ (V[j] - V[m])) ** 2 for i, k, j, m in itertools.permutations(range(n), 4)]
    pairs = [float(V[i] @ V[j]) for i, j in itertools.permutations(range(n), 2)]
    trace_squared = sum(contrasts) / len(contrasts) / 4
    off = sum(pairs) / len(pairs)
    expected = off * math.sqrt(n * (n - 1) / (2 * trace_squared))
    assert drift_z(gram(list(V))) == pytest.approx(expected, rel=1e-12)


def test_equal_increments_are_all_drift():
    gram_nn = gram_of(positions(0, 1, 2, 3, 4))

    assert drift_to_noise(gram_nn) == math.inf
    assert drift_z(gram_nn) == math.inf


def test_three_increments_are_too_few_for_the_drift_test():
    assert drift_z(gram_of(positions(0, 1, 3, 4))) is None


# ---- precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.bfloat16, 1e-5)])
def test_narrow_increments_keep_the_shape(dtype, tolerance):
    increments = noise(0, 14, 50_000) + 0.3 * noise(1, 50_000)

    wide, narrow = path_statistics(gram(list(increments))), path_statistics(gram(list(increments.to(dtype))))

    assert narrow.tau == pytest.approx(wide.tau, rel=tolerance)
    assert narrow.kappa == pytest.approx(wide.kappa, rel=tolerance)
    assert narrow.drift_to_noise == pytest.approx(wide.drift_to_noise, rel=10 * tolerance)


def test_path_statistics_gathers_what_the_single_functions_say():
    gram_nn = gram_of(random_walk(0, 6, 40))

    assert path_statistics(gram_nn) == PathStatistics(
        tau=tau(gram_nn),
        kappa=kappa(gram_nn),
        diffusion_exponent=diffusion_exponent(gram_nn),
        drift_to_noise=drift_to_noise(gram_nn),
        drift_z=drift_z(gram_nn),
        path=path_length(gram_nn),
        displacement=displacement(gram_nn),
    )


# ---- back-test -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([1.0], None),
        ([1.0, 1.0], 1.0),
        ([2.0, 1.0], 0.5),
        ([1.0, 1.0, 100.0, 1.0, 1.0], 1.0),  # the middle one is in neither half
        ([1.0, 1.0, -1.0, -1.0], -1.0),
        ([1.0, 1.0, 3.0, 3.0], 3.0),
        ([1.0, -1.0, 3.0, 3.0], None),  # the first half led nowhere
        ([0.0, 0.0, 0.0, 0.0], None),
    ],
)
def test_a_back_test_is_the_multiple_of_the_first_half_that_the_second_is(steps, expected):
    assert trajectory.back_test(gram([torch.tensor([each], dtype=torch.float64) for each in steps])) == expected


def test_what_leads_aside_in_the_second_half_was_not_predicted():
    along, aside = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])

    assert trajectory.back_test(gram([along, along, along + aside, aside])) == pytest.approx(0.5)


def test_a_random_walk_predicts_nothing_and_a_drift_what_it_is_of_a_step():
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(60, 14, 400, generator=random, dtype=torch.float64)
    drift = torch.randn(400, generator=random, dtype=torch.float64)

    without = [trajectory.back_test(gram(list(steps))) for steps in noise]
    with_drift = [trajectory.back_test(gram(list(steps + drift))) for steps in noise]

    assert sum(without) / 60 == pytest.approx(0, abs=0.03)
    assert sum(with_drift) / 60 == pytest.approx(7**2 / (7**2 + 7), abs=0.03)  # of A, the noise of 7 steps is no drift


def test_an_empty_window_has_no_back_test():
    with pytest.raises(ValueError, match="empty window"):
        trajectory.back_test(torch.zeros(0, 0, dtype=torch.float64))
