"""Sketched paths against whole ones: how near they are, what they cost, and that a device or a resumption moves no bit.

Legend: D numbers of a tensor, B buckets.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import growlab.blocks  # noqa: F401  (fills the table of kinds)
from growlab.growth.sketch import BUCKETS, Fold, Sketches
from growlab.growth.telemetry import mean_statistics
from growlab.growth.window import Window
from growlab.kinds import complete
from growlab.layout import parse
from growlab.model.language_model import build_model
from growlab.records import PathStatistics

SHAPES = {"qkv": (96, 288), "out": (96, 96), "up": (96, 256), "gate": (96, 256), "down": (256, 96), "norm": (96,)}
CPU = torch.device("cpu")


class Unit(nn.Module):
    """Tensors of the sizes of a small block, four of them to be sketched and one to be kept whole."""

    def __init__(self) -> None:
        super().__init__()
        for at, (name, shape) in enumerate(SHAPES.items()):
            self.register_parameter(name, nn.Parameter(drawn(at, *shape)))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def snapshot(sketches: Sketches, units: dict[int, nn.Module]) -> None:
    rows = sketches.append(units)
    if rows is not None:
        sketches.border(rows.cpu())


def heavy(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Student's t of 2 degrees of freedom, whose columns have sizes of their own that are as heavy-tailed."""
    chi = drawn(seed + 1, 2, *shape).pow(2).mean(0).sqrt()
    columns = 1 / drawn(seed + 2, 2, shape[-1]).pow(2).mean(0).sqrt()
    return drawn(seed, *shape) / chi * columns


@torch.no_grad()
def correlated_walk(unit: Unit, seed: int, memory: float, drift: float) -> Iterator[None]:
    """Momentum of heavy-tailed noise, and a steady drift."""
    momentum = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    while True:
        for at, (name, parameter) in enumerate(unit.named_parameters()):
            seed += 10
            momentum[name] = memory * momentum[name] + heavy(seed, SHAPES[name])
            parameter.add_(1e-3 * (momentum[name] + drift * drawn(at, *SHAPES[name])))
        yield


def compared(units: dict[int, nn.Module], move: Callable[[], object]) -> Iterator[tuple[Tensor, Tensor]]:
    """τ and κ of each unit's mean, whole and sketched, over one full window."""
    windows, sketches = {unit: Window(15) for unit in units}, Sketches(15)
    for _ in range(18):  # the window slides
        for unit, window in windows.items():
            window.snapshot(units[unit])
        snapshot(sketches, units)
        move()
    for unit, of_tensors in sketches.statistics().items():
        yield tau_kappa(list(windows[unit].statistics().values())), tau_kappa(of_tensors)


def tau_kappa(of_tensors: list[PathStatistics]) -> Tensor:
    mean = mean_statistics(of_tensors)
    assert mean.tau is not None
    assert mean.kappa is not None
    return torch.tensor([mean.tau, mean.kappa], dtype=torch.float64)


def assert_near(whole: Tensor, sketched: Tensor) -> None:
    off = (sketched / whole - 1).abs()
    assert off[0] <= 0.01
    assert off[1] <= 0.02


@pytest.mark.parametrize(("memory", "drift"), [(0.0, 0.0), (0.5, 0.0), (0.9, 0.3), (0.0, 3.0)])
@pytest.mark.parametrize("seed", range(2))
def test_heavy_tailed_correlated_increments_keep_tau_within_1_and_kappa_within_2_percent(
    memory: float, drift: float, seed: int
) -> None:
    walk = correlated_walk(unit := Unit(), 10_000 * seed, memory, drift)

    [(whole, sketched)] = compared({0: unit}, lambda: next(walk))

    assert_near(whole, sketched)
    assert not torch.equal(whole, sketched)


def test_a_real_training_keeps_tau_within_1_and_kappa_within_2_percent() -> None:
    model = build_model(
        complete(parse("d=80 (attn[n_heads=2] mlp)x2 conv mlp")), vocab_size=13, max_depth=6, dropout=0, seed=0
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(0)

    def train() -> None:
        for _ in range(2):
            ids = torch.randint(13, (4, 17), generator=random).cumsum(1) % 13
            model.loss(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()

    units = dict(enumerate(model.units))
    pairs = list(compared(units, train))

    assert len(pairs) == 3
    for whole, sketched in pairs:
        assert_near(whole, sketched)
        assert not torch.equal(whole, sketched)


def test_inner_products_have_no_bias_and_no_more_than_their_variance() -> None:
    v, w = heavy(0, (3 * BUCKETS + 7,)).double(), heavy(5, (3 * BUCKETS + 7,)).double()
    w += 0.5 * v
    exact, most = float(v @ w), float((v @ v) * (w @ w) + (v @ w) ** 2) / BUCKETS
    estimates = []
    for seed in range(200):
        order = torch.randperm(len(v), generator=torch.Generator().manual_seed(seed))  # another fold for each
        sketched_v, sketched_w = FOLD(torch.stack((v[order], w[order])))
        estimates.append(float(sketched_v @ sketched_w))

    error = torch.tensor(estimates, dtype=torch.float64) - exact
    assert abs(float(error.mean())) < 4 * (most / 200) ** 0.5
    assert 0 < float(error.pow(2).mean()) < 1.3 * most


FOLD = Fold(3 * BUCKETS + 7, CPU)


def test_a_bucket_has_as_many_numbers_as_any_other_or_one_more() -> None:
    ones = FOLD.sign_RB.abs().sum(0)

    assert set(ones.tolist()) == {3, 4}
    assert sorted(FOLD.order_P[: 3 * BUCKETS + 7].tolist()) == list(range(3 * BUCKETS + 7))


def test_numbers_of_one_sign_do_not_add_up() -> None:
    n = 3 * BUCKETS + 7
    [sketched] = FOLD(torch.ones(1, n, dtype=torch.float64))

    assert float(sketched @ sketched) == pytest.approx(n, rel=0.1)  # without signs about three times as much


def test_a_fold_of_a_size_is_always_the_same() -> None:
    again = Fold(3 * BUCKETS + 7, CPU)

    assert torch.equal(FOLD.order_P, again.order_P)
    assert torch.equal(FOLD.sign_RB, again.sign_RB)
    assert not torch.equal(FOLD.order_P[:BUCKETS], Fold(3 * BUCKETS + 8, CPU).order_P[:BUCKETS])


def test_no_random_number_of_others_is_drawn() -> None:
    before = torch.random.get_rng_state()

    Fold(5000, CPU)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_tensors_that_are_folded_a_few_at_a_time_are_folded_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    units = {0: Unit(), 1: Unit()}

    def statistics() -> list[PathStatistics]:
        sketches = Sketches(3)
        for at in range(3):
            for unit in units.values():
                for name, parameter in unit.named_parameters():
                    parameter.data.copy_(drawn(at, *SHAPES[name]))
            snapshot(sketches, units)
        return sketches.statistics()[1]

    together = statistics()
    monkeypatch.setattr("growlab.growth.sketch._MOST_AT_ONCE", 1)

    assert statistics() == together


def test_small_tensors_are_kept_whole() -> None:
    window, sketches, unit = Window(4), Sketches(4), nn.Linear(63, 65)
    for at in range(6):
        with torch.no_grad():
            unit.weight.add_(drawn(at, 65, 63))
        window.snapshot(unit)
        snapshot(sketches, {7: unit})

    for whole, sketched in zip(window.statistics().values(), sketches.statistics()[7], strict=True):
        assert sketched.path == pytest.approx(whole.path, rel=1e-6)
        assert sketched.displacement == pytest.approx(whole.displacement, rel=1e-6)


def test_the_gram_matrix_is_that_of_the_sketches_that_are_kept() -> None:
    sketches, unit = Sketches(4), Unit()
    walk = correlated_walk(unit, 0, 0.5, 0.0)
    for _ in range(7):
        snapshot(sketches, {0: unit})
        next(walk)

    kept = [sketches.increments(at)[str(96 * 288)][0].double() for at in range(3)]
    held = sketches.tensors()["gram"]
    expected = torch.stack([torch.stack([one @ other for other in kept]) for one in kept])
    assert any(torch.allclose(matrix, expected, rtol=1e-12) for matrix in held)


def test_a_snapshot_says_what_it_cost() -> None:
    sketches, unit = Sketches(3), nn.Linear(80, 100)

    costs = []
    for _ in range(4):
        sketches.append({0: unit})
        costs.append(sketches.flops)

    # signs and sums of the matrix's 8,000 numbers; then what a window costs of 4,096 sums and a bias of 100
    assert costs == [16_000, 16_000 + 4196 * 3, 16_000 + 4196 * 5, 16_000 + 4196 * 5]


def test_a_step_far_smaller_than_the_weights_is_seen() -> None:
    sketches, unit = Sketches(4), nn.Linear(100, 100, bias=False)
    step = drawn(3, 100, 100)
    for _ in range(4):
        snapshot(sketches, {0: unit})
        with torch.no_grad():
            unit.weight.add_(1e-5 * step)

    [path] = sketches.statistics()[0]
    assert path.tau == pytest.approx(1, abs=1e-3)
    assert path.path == pytest.approx(3e-5 * float(step.norm()), rel=0.05)


def test_what_is_cleared_takes_other_units() -> None:
    sketches = Sketches(3)
    for _ in range(3):
        snapshot(sketches, {0: Unit()})

    sketches.clear()
    emptied = sketches.statistics(), sketches.tensors(), sketches.flops
    for _ in range(3):
        snapshot(sketches, {1: nn.Linear(3, 2), 5: nn.Linear(2, 2)})

    assert emptied == ({}, {}, 0)
    assert {unit: len(of_tensors) for unit, of_tensors in sketches.statistics().items()} == {1: 2, 5: 2}
