"""The operator `forecast`, and the controls of trajectory operators, against closed forms.

Legend: S snapshots of one tensor, n = S - 1 increments, D entries.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from growlab.geometry.gram import gram
from growlab.growth.operators.forecast import trust
from growlab.growth.path import TensorPath
from growlab.growth.protocol import GrowthProtocol
from growlab.growth.source import Source
from growlab.growth.window import Window
from growlab.recipes import OPERATORS
from growlab.specs import GrowthSpec
from growlab.study.growth_section import growth_with

MakeGrowth = Callable[..., GrowthSpec]
ToyNet = Callable[..., nn.Module]  # see conftest
CONTROLS = ["random-direction", "reversed", "time-shuffled"]
controls = pytest.mark.parametrize("name", CONTROLS)


def path_of(snapshots: Tensor, name: str = "weight") -> TensorPath:
    increments = list(snapshots.diff(dim=0))
    return TensorPath(last=snapshots[-1], increments=increments, gram=gram(increments), name=name)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walk(seed: int, n: int = 14, drift: float = 0.3, shape: tuple[int, ...] = (12, 10)) -> Tensor:
    return (noise(seed, n + 1, *shape) + drift * noise(seed + 1, *shape)).cumsum(0)


def step(operator: str, path: TensorPath, seed: int = 0, **options: object) -> Tensor:
    part, spec = OPERATORS[operator], growth_with(trigger="at", operator={operator: options})
    source = Source(
        units=[],
        unit=nn.Identity(),
        position=0,
        origin=0,
        n_alike=1,
        watched=0,
        windows={},
        same_kinds=lambda one, other: True,
        out_projections=lambda unit: [],
        norm_gains=lambda unit: [],
        critical={},
        entry_scale=1.0,
        seed=seed,
    )
    return part.make.__wrapped__(path, part.read(spec.operator.options), source) - path.last


# ---- forecast --------------------------------------------------------------------------------------------------


def test_a_straight_line_is_trusted_and_goes_on_h_snapshots_further() -> None:
    direction = noise(0, 3, 4)
    path = path_of(torch.stack([i * direction for i in range(9)]))

    assert trust(path.gram) == pytest.approx(1)
    torch.testing.assert_close(step("forecast", path, h=2.5), 2.5 * direction)


@pytest.mark.parametrize("n", [8, 9])
def test_trust_is_the_share_of_the_first_half_that_the_second_repeats(n: int) -> None:
    pace = noise(0, 50)
    increments = [pace] * (n // 2) + [9 * pace] * (n % 2) + [0.25 * pace] * (n // 2)

    assert trust(gram(increments)) == pytest.approx(0.25)


def test_a_second_half_that_is_faster_is_trusted_no_more_than_wholly() -> None:
    pace = noise(0, 50)

    assert trust(gram([pace] * 4 + [3 * pace] * 4)) == 1


def test_a_random_walk_is_copied_and_seldom_taken_for_a_drift() -> None:
    trusts = [trust(path_of(walk(seed, drift=0)).gram) for seed in range(0, 400, 2)]

    assert sum(coefficient > 0 for coefficient in trusts) <= 20
    assert max(trusts) < 0.5


def test_a_walk_with_a_drift_goes_on_with_the_pace_that_its_halves_share() -> None:
    path = path_of(walk(0, n=9))
    V = torch.stack(path.increments).flatten(1)

    taken = step("forecast", path, h=3.0)

    first, last = V[:4].sum(0), V[-4:].sum(0)
    expected = 3 * (first @ last) / (first @ first) * V.mean(0)
    torch.testing.assert_close(taken.flatten(), expected)
    assert taken.abs().sum() > 0


@pytest.mark.parametrize("name", ["forecast", *CONTROLS])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_short_and_still_windows_have_their_newest_snapshot_or_a_finite_step(name: str, n: int) -> None:
    still = path_of(noise(0, 6).expand(n + 1, 6))

    assert torch.equal(step(name, still), torch.zeros(6, dtype=torch.float64))
    assert step(name, path_of(walk(0, n))).isfinite().all()


def test_what_is_copied_at_growth_is_copied() -> None:
    unit, new = nn.Linear(8, 8).double(), nn.Linear(8, 8).double()
    new.bias.copied_at_growth = True
    window = Window(9)
    for _ in range(9):
        window.snapshot(unit)
        for parameter in unit.parameters():
            parameter.data += 1.0
    part = OPERATORS["forecast"]
    source = Source(
        units=[unit],
        unit=new,
        position=1,
        origin=0,
        n_alike=1,
        watched=0,
        windows={0: window},
        same_kinds=lambda one, other: True,
        out_projections=lambda unit: [],
        norm_gains=lambda unit: [],
        critical={},
        entry_scale=1.0,
        seed=0,
    )

    made = part.make(source, part.read({"h": 2.0})).new

    torch.testing.assert_close(made["weight"], window.path("weight").last + 2)
    assert torch.equal(made["bias"], window.path("bias").last)


# ---- controls --------------------------------------------------------------------------------------------------


def test_a_random_direction_is_as_long_as_the_step_of_aiether_and_not_along_it() -> None:
    path = path_of(walk(0))
    aiether, control = step("aiether", path, k_subspace=4), step("random-direction", path, k_subspace=4)

    assert float(control.norm()) == pytest.approx(float(aiether.norm()))
    assert abs(float((control * aiether).sum()) / float(aiether.norm()) ** 2) < 0.4  # D = 120: sd 0.09


def test_reversed_is_aiether_on_the_snapshots_in_reverse_order() -> None:
    snapshots = walk(0)
    options = {"k_subspace": 4, "gamma0": 0.3}

    taken = step("reversed", path_of(snapshots), **options)

    torch.testing.assert_close(taken, step("aiether", path_of(snapshots.flip(0)), **options))


def test_reversed_goes_back_along_a_straight_line() -> None:
    path = path_of(torch.stack([i * noise(0, 5) for i in range(9)]))

    torch.testing.assert_close(step("reversed", path), -step("aiether", path))


def test_time_shuffled_is_aiether_on_the_same_increments_in_another_order() -> None:
    path = path_of(walk(0))
    options = {"k_subspace": 4, "gamma0": 0.3}
    order = torch.randperm(14, generator=torch.Generator().manual_seed(5))

    taken = step("time-shuffled", path, seed=5, **options)

    shuffled = torch.cat((torch.zeros(1, 12, 10), torch.stack(path.increments)[order])).cumsum(0)
    torch.testing.assert_close(taken, step("aiether", path_of(shuffled), **options))
    assert not torch.allclose(taken, step("aiether", path, **options))


@pytest.mark.parametrize("name", ["random-direction", "time-shuffled"])
def test_what_is_drawn_depends_on_the_seed_alone_and_disturbs_no_generator(name: str) -> None:
    path, state = path_of(walk(0)), torch.random.get_rng_state()

    first, again, other = step(name, path, seed=1), step(name, path, seed=1), step(name, path, seed=2)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_each_tensor_has_a_random_direction_of_its_own() -> None:
    one, other = path_of(walk(0), "q.weight"), path_of(walk(0), "k.weight")

    assert not torch.allclose(step("random-direction", one), step("random-direction", other))


@pytest.mark.parametrize("name", ["forecast", *CONTROLS])
def test_a_unit_that_grows_by_it_is_the_same_in_every_run_of_a_trial(
    toy_net: ToyNet, make_growth: MakeGrowth, name: str
) -> None:
    def grown(seed: int) -> list[Tensor]:
        net = toy_net("thin", "thin")
        protocol = GrowthProtocol(make_growth(operator=name, entry_scale=1.0), net, seed=seed)
        for at in range(5):
            protocol.window.snapshot(net.units[1])
            for parameter in net.units[1].parameters():
                parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(at))
        protocol.grow(0)
        return [parameter.detach() for parameter in net.units[2].parameters()]

    draws = name in ("random-direction", "time-shuffled")
    assert all(map(torch.equal, grown(0), grown(0)))
    assert all(map(torch.equal, grown(0), grown(1))) != draws
