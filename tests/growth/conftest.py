"""Growth without a language model: growth specs, and a foreign network that can grow."""

from collections.abc import Callable, Iterable, Sequence

import pytest
import torch
from torch import Tensor, nn

from growlab.growth.moment import Moment
from growlab.layout import BlockSpec, parse_blocks
from growlab.records import TrajectoryPoint
from growlab.specs import GrowthSpec
from growlab.study.growth_section import growth_with

WIDTH = 6
HIDDEN = {"thin": 4, "wide": 9}  # the toy's own block kinds, which growlab has never heard of


class ToyUnit(nn.Module):
    """x + out(tanh(inner(x))), once per block."""

    def __init__(self, blocks: Sequence[BlockSpec]) -> None:
        super().__init__()
        self.specs = tuple(blocks)
        self.inner = nn.ModuleList(nn.Linear(WIDTH, HIDDEN[spec.kind]) for spec in blocks)
        self.out = nn.ModuleList(nn.Linear(HIDDEN[spec.kind], WIDTH, bias=False) for spec in blocks)

    def forward(self, x: Tensor) -> Tensor:
        for inner, out in zip(self.inner, self.out, strict=True):
            x = x + out(torch.tanh(inner(x)))
        return x


class ToyNet(nn.Module):
    """Residual units and a linear head; satisfies growlab.growth.growable.Growable and is no language model."""

    def __init__(self, *units: str) -> None:
        super().__init__()
        self.units = nn.ModuleList(ToyUnit(parse_blocks(unit)) for unit in units)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = unit(x)
        return self.head(x)

    def blocks_of(self, unit: nn.Module) -> tuple[BlockSpec, ...]:
        assert isinstance(unit, ToyUnit)
        return unit.specs

    def make_unit(self, blocks: Sequence[BlockSpec]) -> nn.Module:
        return ToyUnit(blocks)

    def out_projections(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        assert isinstance(unit, ToyUnit)
        return [out.weight for out in unit.out]

    def insert_unit(self, position: int, unit: nn.Module) -> None:
        self.units.insert(position, unit)


@pytest.fixture
def toy_net() -> Callable[..., ToyNet]:
    """`toy_net("thin", "thin wide")` is a net of two units, always with the same weights."""

    def make(*units: str) -> ToyNet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return ToyNet(*units)

    return make


@pytest.fixture
def toy_inputs() -> Tensor:
    return torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_growth() -> Callable[..., GrowthSpec]:
    """A growth spec that grows at the first chance, except for what a test asks for."""
    eager = {
        "trigger": "stagnation",
        "patience": 1,
        "threshold": 1.0,
        "tau_crit": 0.0,
        "kappa_crit": 0.0,
        "warmup_steps": 0,
        "history_window_size": 5,
        "collect_interval_steps": 1,
        "entry_scale": 0.0,
        "freeze_steps": 3,
        "rewarm_steps": 0,
        "cooldown_steps": 2,
    }

    def make(**changes: object) -> GrowthSpec:
        return growth_with(**(eager | changes))

    return make


@pytest.fixture(scope="session")
def moment() -> Callable[..., Moment]:
    """An evaluation of a validation loss, with a path that is long and bent unless a test says otherwise."""

    def at(val_loss: float, *, step: int = 0, tau: float | None = 3.0, kappa: float | None = 1.0) -> Moment:
        path = TrajectoryPoint(
            step=step,
            unit=0,
            tensor="",
            n_increments=4,
            tau=tau,
            kappa=kappa,
            diffusion_exponent=None,
            drift_to_noise=None,
            drift_z=None,
            path=1.0,
            displacement=1.0,
        )
        return Moment(step=step, progress=0.5, flops=0, train_loss=val_loss, val_loss=val_loss, path=path)

    return at
