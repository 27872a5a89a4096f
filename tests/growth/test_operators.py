"""Growth operators against worked cases and closed forms.

golden_aiether.json holds ten cases of `aiether` and `aiether-code`, worked in float64 from the formulas by
other code than ours; τ, κ and the two projected parts agree with the founding project's own code.

Legend: S snapshots of one tensor, n = S - 1 increments.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from growlab.errors import UnknownName
from growlab.geometry.gram import gram
from growlab.geometry.subspace import principal_directions
from growlab.geometry.trajectory import kappa, tau
from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.growth.window import Window
from growlab.recipes import OPERATORS, TRIGGERS, register_operator
from growlab.study.growth_section import growth_with

GOLDEN = json.loads((Path(__file__).parent / "golden_aiether.json").read_text())
TRAJECTORY_OPERATORS = ["aiether", "aiether-code"]
golden = pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['operator']}-S{case['S']}-{case['shape']}")
trajectory = pytest.mark.parametrize("name", TRAJECTORY_OPERATORS)
seeds = st.integers(0, 999)


def path_of(snapshots: torch.Tensor) -> TensorPath:
    increments = list(snapshots.diff(dim=0))
    return TensorPath(last=snapshots[-1], increments=increments, gram=gram(increments))


def source_of(net: nn.Module, unit: nn.Module, window: Window, critical: Mapping[str, float]) -> Source:
    """A model of one unit that is to be copied."""
    return Source(
        units=[net],
        unit=unit,
        position=1,
        origin=0,
        n_alike=1,
        watched=0,
        windows={0: window},
        same_kinds=lambda one, other: type(one) is type(other),
        out_projections=lambda unit: [],
        norm_gains=lambda unit: [],
        critical=critical,
        entry_scale=1.0,
        seed=0,
    )


def extrapolated(name: str, path: TensorPath, **changes: object) -> torch.Tensor:
    """What an operator that works tensor by tensor makes of a path, with the seed's options but for the changes."""
    spec = growth_with(trigger="stagnation", operator=name, **changes)
    critical = TRIGGERS["stagnation"].read(spec.trigger.options).critical()
    source = source_of(nn.Identity(), nn.Identity(), Window(15), critical)
    part = OPERATORS[name]
    return part.make.__wrapped__(path, part.read(spec.operator.options), source)


def grow(name: str, snapshots: torch.Tensor, **changes: object) -> torch.Tensor:
    return extrapolated(name, path_of(snapshots), **changes)


def step(name: str, snapshots: torch.Tensor, **changes: object) -> torch.Tensor:
    return grow(name, snapshots, **changes) - snapshots[-1]


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walk(seed: int, n: int = 14, shape: tuple[int, ...] = (6, 5)) -> torch.Tensor:
    return noise(seed, n + 1, *shape).cumsum(0)


def line(paces: list[float], direction: torch.Tensor) -> torch.Tensor:
    along_S = torch.tensor([0.0, *paces], dtype=torch.float64).cumsum(0)
    return noise(1, *direction.shape) + along_S.view(-1, *[1] * direction.dim()) * direction


def closed_walk(seed: int, n: int) -> torch.Tensor:
    snapshots = walk(seed, n)
    return torch.cat((snapshots[:-1], snapshots[:1]))


# ---- worked cases ---------------------------------------------------------------------------------------------


def golden_history(case: dict) -> torch.Tensor:
    return torch.tensor(case["history"], dtype=torch.float64)


def golden_gains(case: dict) -> dict:
    return {key: case[key] for key in ("beta0", "gamma0", "eta0", "k_subspace", "ell_orth", "tau_crit", "kappa_crit")}


@golden
def test_a_worked_case_has_its_tau_kappa_and_rank(case):
    gram_nn = path_of(golden_history(case)).gram

    assert tau(gram_nn) == pytest.approx(case["expected"]["tau"], rel=1e-12)
    assert kappa(gram_nn) == pytest.approx(case["expected"]["kappa"], rel=1e-12)
    assert len(principal_directions(gram_nn).singular_values) == case["expected"]["rank"]


@golden
def test_a_worked_case_gives_its_new_weights(case):
    new = grow(case["operator"], golden_history(case), **golden_gains(case))

    expected = torch.tensor(case["expected"]["W_new"], dtype=torch.float64)
    torch.testing.assert_close(new, expected, rtol=0, atol=1e-12)


@golden
def test_a_worked_case_steps_as_far_as_its_coefficients_say(case):
    """Alone, each of the terms that are unit vectors has the length of its coefficient."""
    history, gains, expected = golden_history(case), golden_gains(case), case["expected"]
    is_code = case["operator"] == "aiether-code"
    no_gain = {"beta0": 0.0, "gamma0": 0.0, "eta0": 0.0}
    lengths = {
        term: float(step(case["operator"], history, **(gains | no_gain | {gain: gains[gain]})).norm())
        for term, gain in (("beta", "beta0"), ("gamma", "gamma0"), ("eta", "eta0"))
    }

    if not is_code:
        assert lengths["beta"] == pytest.approx(expected["beta"], rel=1e-10)
        assert lengths["gamma"] == pytest.approx(expected["gamma"], rel=1e-10)
    escapes = case["k_subspace"] < expected["rank"] and not (is_code and len(case["shape"]) == 1)
    assert lengths["eta"] == pytest.approx(expected["eta"] if escapes else 0, rel=1e-10, abs=1e-15)


# ---- where nothing is added -------------------------------------------------------------------------------------


@trajectory
@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(0, 14), shape=st.sampled_from([(7,), (3, 4), (2, 3, 2)]))
def test_without_gains_the_new_weights_are_the_last(name, seed, n, shape):
    snapshots = walk(seed, n, shape)

    new = grow(name, snapshots, beta0=0.0, gamma0=0.0, eta0=0.0)

    assert torch.equal(new, snapshots[-1])


@trajectory
@pytest.mark.parametrize("S", [1, 2, 15])
@pytest.mark.parametrize("shape", [(7,), (3, 4)])
def test_weights_that_never_moved_are_copied(name, S, shape):
    snapshots = noise(0, *shape).expand(S, *shape)

    assert torch.equal(grow(name, snapshots), snapshots[-1])


@pytest.mark.parametrize("name", [*TRAJECTORY_OPERATORS, "copy-last"])
def test_a_single_snapshot_is_copied_into_memory_of_its_own(name):
    snapshots = walk(0, n=0)

    new = grow(name, snapshots)
    new += 1

    assert torch.equal(new, snapshots[-1] + 1)


def test_copy_last_ignores_the_path():
    snapshots = walk(0)

    assert torch.equal(grow("copy-last", snapshots), snapshots[-1])


def test_identity_makes_nothing_so_that_the_fresh_weights_stay():
    window = Window(4)
    window.snapshot(unit := nn.Linear(2, 2))

    assert OPERATORS["identity"].make(source_of(unit, nn.Linear(2, 2), window, {}), None) is None


def test_without_a_twin_that_was_looked_at_there_is_nothing_to_make_a_unit_of():
    window = Window(4)
    copy_last, unit = OPERATORS["copy-last"].make, nn.Linear(2, 2)

    assert copy_last(source_of(unit, nn.Linear(2, 2), window, {}), None) is None
    window.snapshot(unit)
    assert copy_last(source_of(unit, nn.Identity(), window, {}), None) is None
    assert torch.equal(copy_last(source_of(unit, nn.Linear(2, 2), window, {}), None).new["weight"], unit.weight)


def test_the_escape_is_gated_by_the_triggers_critical_values_else_by_those_of_the_report():
    path, part = path_of(walk(0)), OPERATORS["aiether"]
    options = part.read(growth_with(operator="aiether", k_subspace=3).operator.options)

    def made(**critical: float) -> torch.Tensor:
        return part.make.__wrapped__(path, options, source_of(nn.Identity(), nn.Identity(), Window(15), critical))

    assert torch.equal(made(), made(tau=2.0, kappa=0.5))
    assert not torch.equal(made(), made(tau=0.0, kappa=0.0))


# ---- straight lines ---------------------------------------------------------------------------------------------

paces = st.lists(st.floats(0.1, 10), min_size=1, max_size=14)
one_pace = st.integers(1, 14).map(lambda n: [1.0] * n)
shapes = st.sampled_from([(6,), (3, 4)])


@settings(deadline=None, max_examples=40)
@given(paces=paces | one_pace, shape=shapes)
def test_the_code_form_goes_on_along_a_straight_line_at_its_mean_pace(paces, shape):
    direction = noise(0, *shape)
    snapshots = line(paces, direction)

    taken = step("aiether-code", snapshots, beta0=0.3, gamma0=0.0, eta0=0.0)

    torch.testing.assert_close(taken, 0.3 * sum(paces) / len(paces) * direction, rtol=1e-6, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(paces=paces | one_pace, shape=shapes, scale=st.floats(1e-4, 1e4))
def test_the_normalised_form_steps_beta0_along_a_straight_line_at_any_scale(paces, shape, scale):
    direction = noise(0, *shape)
    snapshots = scale * line(paces, direction)

    taken = step("aiether", snapshots, beta0=0.3, gamma0=0.0, eta0=0.0)

    torch.testing.assert_close(taken, 0.3 * direction / direction.norm(), rtol=1e-6, atol=1e-6)


@trajectory
def test_a_steady_pace_has_no_curvature_and_no_escape(name):
    snapshots = line([1.0] * 14, noise(0, 3, 4))

    with_all, linear = step(name, snapshots), step(name, snapshots, gamma0=0.0, eta0=0.0)

    torch.testing.assert_close(with_all, linear, rtol=0, atol=1e-12)


@trajectory
def test_two_snapshots_give_a_copy_and_a_step_of_the_one_velocity(name):
    snapshots = walk(0, n=1)
    velocity = snapshots[1] - snapshots[0]

    taken = step(name, snapshots)

    expected = velocity if name == "aiether-code" else velocity / velocity.norm()
    torch.testing.assert_close(taken, 0.1 * expected, rtol=1e-7, atol=1e-12)


# ---- the terms ----------------------------------------------------------------------------------------------------


@trajectory
@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(2, 14), surplus=st.integers(0, 20))
def test_a_subspace_of_full_rank_leaves_no_escape(name, seed, n, surplus):
    snapshots = walk(seed, n)
    sizes = {"k_subspace": n - 1 + surplus, "ell_orth": 3, "tau_crit": 0.0, "kappa_crit": 0.0}

    assert torch.equal(grow(name, snapshots, **sizes, eta0=0.1), grow(name, snapshots, **sizes, eta0=0.0))


@settings(deadline=None, max_examples=40)
@given(seed=seeds, tau_crit=st.floats(0, 6), kappa_crit=st.floats(0, 6))
def test_the_escape_opens_with_what_tau_and_kappa_exceed_their_gates_by(seed, tau_crit, kappa_crit):
    snapshots = walk(seed)
    path = path_of(snapshots)

    taken = step("aiether", snapshots, beta0=0.0, gamma0=0.0, eta0=0.1, tau_crit=tau_crit, kappa_crit=kappa_crit)

    opening = max(0, tau(path.gram) - tau_crit) * max(0, kappa(path.gram) - kappa_crit)
    assert float(taken.norm()) == pytest.approx(0.1 * opening, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("closed_gate", [{"tau_crit": 6.0}, {"kappa_crit": 6.0}])
def test_one_closed_gate_leaves_no_escape_at_all(closed_gate):
    snapshots = walk(0)

    assert torch.equal(grow("aiether", snapshots, **closed_gate), grow("aiether", snapshots, eta0=0.0))


@settings(deadline=None, max_examples=20)
@given(seed=seeds, k=st.integers(1, 12), ell=st.integers(1, 10))
def test_the_escape_of_the_code_form_is_ungated_and_leaves_the_subspace(seed, k, ell):
    snapshots = walk(seed)
    path = path_of(snapshots)
    sizes = {"k_subspace": k, "ell_orth": ell, "tau_crit": 99.0, "kappa_crit": 99.0}

    taken = step("aiether-code", snapshots, beta0=0.0, gamma0=0.0, eta0=0.1, **sizes)

    velocity_nD = torch.stack(path.increments).flatten(1)
    dominant_kD = principal_directions(path.gram).coefficients[:, :k].T @ velocity_nD
    assert float(taken.norm()) == pytest.approx(0.1 * tau(path.gram) * kappa(path.gram), rel=1e-7)
    assert (dominant_kD @ taken.flatten()).tolist() == pytest.approx([0] * k, abs=1e-9)


def test_the_terms_are_what_a_plain_svd_of_the_velocities_gives():
    """The formula once more, with D × D projections and no Gram matrix."""
    snapshots, k, ell = walk(5, shape=(20,)), 4, 3
    beta0, gamma0, eta0, tau_crit, kappa_crit = 0.2, 0.3, 0.05, 1.5, 0.2

    new = grow(
        "aiether",
        snapshots,
        beta0=beta0,
        gamma0=gamma0,
        eta0=eta0,
        tau_crit=tau_crit,
        kappa_crit=kappa_crit,
        k_subspace=k,
        ell_orth=ell,
    )

    V = snapshots.diff(dim=0)
    delta = V.sum(0)
    along = V @ delta / delta.norm()
    stretch = float(V.norm(dim=1).sum() / delta.norm())
    bend = float((V - torch.outer(along, delta / delta.norm())).norm(dim=1).sum() / along.abs().sum())
    _, sigma, Q = torch.linalg.svd(V - V.mean(0), full_matrices=False)
    Q = Q * torch.where(Q @ delta < 0, -1, 1)[:, None]
    projection_DD = Q[:k].T @ Q[:k]
    velocity, acceleration = projection_DD @ V.mean(0), projection_DD @ V.diff(dim=0).mean(0)
    escape = sigma[k : k + ell] @ Q[k : k + ell]
    expected = (
        snapshots[-1]
        + beta0 / (stretch + 1e-8) * velocity / velocity.norm()
        + gamma0 / (1 + bend) * acceleration / acceleration.norm()
        + eta0 * (stretch - tau_crit) * (bend - kappa_crit) * escape / escape.norm()
    )
    torch.testing.assert_close(new, expected, rtol=0, atol=1e-11)


def test_the_code_form_moves_a_vector_by_its_whole_velocity_and_acceleration():
    snapshots = walk(3, n=6, shape=(9,))
    path = path_of(snapshots)

    taken = step("aiether-code", snapshots, beta0=0.2, gamma0=0.3, eta0=0.5, k_subspace=1)

    V = snapshots.diff(dim=0)
    expected = 0.2 / tau(path.gram) * V.mean(0) + 0.3 / (1 + kappa(path.gram)) * V.diff(dim=0).mean(0)
    torch.testing.assert_close(taken, expected, rtol=1e-7, atol=1e-12)


def test_the_normalised_form_treats_a_vector_as_a_matrix_of_one_row():
    snapshots = walk(3, shape=(9,))

    assert torch.equal(grow("aiether", snapshots), grow("aiether", snapshots[:, None])[0])


# ---- scale, rounding, dtypes --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(seed=seeds, scale=st.floats(1e-4, 1e4), shape=shapes)
def test_the_code_form_without_escape_scales_with_the_weights(seed, scale, shape):
    snapshots = walk(seed, shape=shape)

    grown, of_scaled = (grow("aiether-code", each, eta0=0.0) for each in (snapshots, scale * snapshots))

    torch.testing.assert_close(of_scaled, scale * grown, rtol=1e-9, atol=1e-9 * scale)


@settings(deadline=None, max_examples=20)
@given(seed=seeds, scale=st.floats(1e-4, 1e4))
def test_the_normalised_form_takes_the_same_step_at_any_scale(seed, scale):
    snapshots = walk(seed)

    plain, scaled = step("aiether", snapshots), step("aiether", scale * snapshots)

    torch.testing.assert_close(scaled, plain, rtol=1e-6, atol=1e-9)


@trajectory
@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(2, 14))
def test_a_closed_path_counts_as_a_random_walk_and_stays_finite(name, seed, n):
    snapshots = closed_walk(seed, n)
    gates = {"tau_crit": 0.0, "kappa_crit": 0.0, "k_subspace": 1}

    taken = step(name, snapshots, beta0=0.5, gamma0=0.0, eta0=0.1, **gates)

    has_escape = len(principal_directions(path_of(snapshots).gram).singular_values) > 1
    assert float(taken.norm()) == pytest.approx(0.1 * n if has_escape else 0, rel=1e-6, abs=1e-9)


@trajectory
@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(2, 14), is_closed=st.booleans())
def test_the_last_digit_of_a_gram_matrix_does_not_change_the_new_weights(name, seed, n, is_closed):
    snapshots = closed_walk(seed, n) if is_closed else walk(seed, n)
    path = path_of(snapshots)
    error_nn = 2e-16 * noise(seed, n, n)
    other = TensorPath(last=path.last, increments=path.increments, gram=path.gram * (1 + (error_nn + error_nn.T) / 2))

    here, there = (extrapolated(name, each, k_subspace=2) for each in (path, other))

    torch.testing.assert_close(there, here, rtol=0, atol=1e-6)


@trajectory
def test_the_same_path_gives_the_same_bits(name):
    assert torch.equal(grow(name, walk(0)), grow(name, walk(0)))


@pytest.mark.parametrize("name", [*TRAJECTORY_OPERATORS, "copy-last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_weights_have_the_type_of_the_old_and_are_worked_out_in_float64(name, dtype):
    path = path_of(walk(0).to(dtype))
    wide = TensorPath(last=path.last.double(), increments=[each.double() for each in path.increments], gram=path.gram)

    new, exact = (extrapolated(name, each) for each in (path, wide))

    assert new.dtype == dtype
    assert torch.equal(new, exact.to(dtype))


@pytest.mark.parametrize("name", [*TRAJECTORY_OPERATORS, "copy-last"])
def test_an_operator_leaves_the_path_as_it_was(name):
    snapshots = walk(0)
    before = snapshots.clone()

    grow(name, snapshots)

    assert torch.equal(snapshots, before)


# ---- the register -------------------------------------------------------------------------------------------------


def test_the_operators_of_the_seed_and_their_plain_rivals_are_there_by_name():
    assert {"aiether", "aiether-code", "copy-last", "identity"} <= set(OPERATORS)
    assert all(name == operator.name and operator.summary for name, operator in OPERATORS.items())


def test_an_unknown_operator_is_a_clear_error():
    with pytest.raises(UnknownName, match=r"unknown growth operator 'aeither'; known: .*Did you mean 'aiether'"):
        OPERATORS["aeither"]


def test_an_operator_is_one_registered_function(monkeypatch):
    monkeypatch.setattr(OPERATORS, "_entries", dict(OPERATORS._entries))

    @register_operator("double", "twice the last")
    @tensor_by_tensor
    def double(path, options, source):
        return 2 * path.last

    new = extrapolated("double", path_of(walk(0)))
    assert torch.equal(new, 2 * walk(0)[-1])
    assert not math.isnan(float(new.sum()))


# ---- how many directions ---------------------------------------------------------------------------------------


@trajectory
def test_k_of_the_spectrum_is_that_of_what_stands_out_of_noise(name):
    left_nr, right_Dr = torch.linalg.qr(noise(1, 14, 3)).Q, torch.linalg.qr(noise(2, 1000, 3)).Q
    increments = (noise(0, 14, 1000) + 300 * left_nr @ right_Dr.T).view(14, 20, 50)
    snapshots = torch.cat((torch.zeros(1, 20, 50, dtype=torch.float64), increments.cumsum(0)))

    chosen = of_rule(name, snapshots, "spectrum", 10)

    assert torch.equal(chosen, of_rule(name, snapshots, "fixed", 3))
    assert not torch.equal(chosen, of_rule(name, snapshots, "fixed", 10))
    assert torch.equal(of_rule(name, snapshots, "spectrum", 2), of_rule(name, snapshots, "fixed", 2))  # at most


def of_rule(name: str, snapshots: torch.Tensor, rule: str, k: int) -> torch.Tensor:
    options = {"k_rule": rule, "k_subspace": k}
    part = OPERATORS[name]
    read = part.read(growth_with(operator={name: options}).operator.options)
    source = source_of(nn.Identity(), nn.Identity(), Window(15), {"tau": 0.0, "kappa": 0.0})
    return part.make.__wrapped__(path_of(snapshots), read, source)


def test_options_of_a_row_before_there_was_a_rule_mean_a_fixed_k():
    old = {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 7, "ell_orth": 5}

    options = OPERATORS["aiether"].read(old)

    assert (options.k_rule, options.k_subspace) == ("fixed", 7)
