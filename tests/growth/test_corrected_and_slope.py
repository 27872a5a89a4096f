"""The triggers `corrected` and `slope`, check by check; and the drift that `corrected` acts on."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from growlab.geometry.trajectory import drift_to_noise, lasting_drift
from growlab.growth.moment import Moment
from growlab.growth.telemetry import mean_lasting_drift
from growlab.growth.triggers.corrected import Corrected, CorrectedOptions
from growlab.growth.triggers.slope import Slope, SlopeOptions, gain_per_doubling
from growlab.growth.window import Window
from growlab.scalar import with_defaults
from growlab.study.growth_section import growth_with

MomentOf = Callable[..., Moment]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """benchmarks/growth/triggers.py."""
    file = Path(__file__).parents[2] / "benchmarks" / "growth" / "triggers.py"
    spec = importlib.util.spec_from_file_location("triggers_table", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(__import__("sys").modules, spec.name, module)  # where dataclasses look their module up
        spec.loader.exec_module(module)
    return module


# ---- the drift that lasts --------------------------------------------------------------------------------------


def test_orthogonal_increments_have_no_lasting_drift_and_equal_ones_nothing_else() -> None:
    assert lasting_drift(torch.eye(9, dtype=torch.float64)) == pytest.approx(0, abs=1e-12)
    assert lasting_drift(torch.ones(9, 9, dtype=torch.float64)) == math.inf
    assert lasting_drift(torch.zeros(9, 9, dtype=torch.float64)) is None
    assert lasting_drift(torch.eye(2, dtype=torch.float64)) is None


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("r", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("n", [7, 11, 30])
def test_in_high_dimension_it_is_the_squared_drift_whatever_the_correlation(
    n: int, r: float, correlation: float
) -> None:
    distance_nn = (torch.arange(n)[:, None] - torch.arange(n)).abs().double()
    gram_nn = r**2 + torch.where(distance_nn == 0, 1.0, correlation**distance_nn)

    assert lasting_drift(gram_nn) == pytest.approx(r**2, abs=1e-9)
    assert (drift_to_noise(gram_nn) == pytest.approx(r**2, abs=1e-9)) is (correlation == 0)


def test_of_a_window_it_is_the_mean_over_its_tensors() -> None:
    unit, window = torch.nn.Linear(30, 30), Window(10)
    for at in range(10):
        window.snapshot(unit)
        for parameter in unit.parameters():
            parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(at))

    both = [lasting_drift(track.gram) for track in window.tracks.values()]
    assert mean_lasting_drift(window) == pytest.approx(sum(both) / 2)
    assert mean_lasting_drift(Window(3)) is None


# ---- corrected -------------------------------------------------------------------------------------------------


def test_corrected_fires_on_noise_and_not_on_drift(table: ModuleType) -> None:
    """A small part of What-must-be-shown 3; the whole table is benchmarks/results/triggers.txt."""
    some = [
        setting
        for setting in table.settings((8, 12, 31))
        if setting.exponent == 0.5 and setting.r in (0.0, 0.5) and not setting.aligned
    ]

    shares = {setting: table.shares(setting, 250, seed=1) for setting in some}

    assert len(some) == 10
    for setting, (corrected, _) in shares.items():
        assert table.is_right(setting, corrected), setting
    [founding] = [
        seed
        for setting, (_, seed) in shares.items()
        if (setting.size, setting.correlation, setting.r) == (31, 0.0, 0.5)
    ]
    assert founding > 0.5  # its thresholds do not know how long the window is


@pytest.fixture
def known(moment: MomentOf) -> Callable[..., Moment]:
    def at(drift: float | None, *, step: int = 0, n_increments: int = 7) -> Moment:
        seen = moment(2.0, step=step)
        assert seen.path is not None
        return replace(seen, path=replace(seen.path, n_increments=n_increments), lasting_drift=drift)

    return at


def corrected(**changes: float) -> Corrected:
    return Corrected(with_defaults(CorrectedOptions, **changes))


def test_patience_stagnant_checks_in_a_row_fire(known: Callable[..., Moment]) -> None:
    trigger = corrected(patience=2, drift_crit=0.3)

    asked = [trigger.check(known(drift)) for drift in (0.05, 0.2, 0.05, -0.1, 0.09, math.inf)]

    assert asked == [False, False, False, True, False, False]


@pytest.mark.parametrize(("drift", "n_increments", "step"), [(None, 9, 50), (0.0, 6, 50), (0.0, 9, 49)])
def test_nothing_known_is_no_stagnation(
    known: Callable[..., Moment], drift: float | None, n_increments: int, step: int
) -> None:
    assert not corrected(patience=1, warmup_steps=50).check(known(drift, n_increments=n_increments, step=step))
    assert corrected(patience=1, warmup_steps=50).check(known(0.0, step=50))


def test_corrected_goes_on_in_another_process_from_its_state(known: Callable[..., Moment]) -> None:
    trigger, other = corrected(patience=2), corrected(patience=2)
    trigger.check(known(0.0))

    other.restore(json.loads(json.dumps(trigger.state())))

    assert trigger.state() == {"stagnant_checks": 1}
    assert other.check(known(0.0))
    trigger.look(known(0.0))
    assert trigger.state() == {"stagnant_checks": 0}


# ---- slope -----------------------------------------------------------------------------------------------------


def slope(**changes: float) -> Slope:
    return Slope(with_defaults(SlopeOptions, **changes))


def at(moment: MomentOf, flops: int, loss: float) -> Moment:
    return replace(moment(loss), flops=flops, path=None)


@pytest.mark.parametrize("scale", [1, 1e6])
def test_the_gain_per_doubling_is_the_same_for_every_size_of_model(scale: float) -> None:
    line = [[scale * flops, 3 - 0.25 * math.log2(flops)] for flops in (1, 2, 3, 8)]

    assert gain_per_doubling(line) == pytest.approx(0.25)
    assert gain_per_doubling([[5.0, 2.0], [5.0, 1.0]]) == math.inf


def test_slope_fires_when_the_last_checks_gain_less_than_least(moment: MomentOf) -> None:
    trigger = slope(checks=3, least=0.1)
    losses = [3.0, 2.5, 2.0, 1.95, 1.9, 1.85]  # 0.5 nats a doubling, then 0.05

    asked = [trigger.check(at(moment, 2**step, loss)) for step, loss in enumerate(losses)]

    assert asked == [False, False, False, False, True, True]


def test_slope_begins_anew_after_a_growth_and_where_none_may_begin(moment: MomentOf) -> None:
    trigger = slope(checks=2, least=0.1)
    trigger.check(at(moment, 1, 2.0))
    trigger.look(at(moment, 2, 2.0))

    assert not trigger.check(at(moment, 4, 2.0))
    assert trigger.check(at(moment, 8, 2.0))
    trigger.forget()
    assert not trigger.check(at(moment, 16, 2.0))


def test_slope_goes_on_in_another_process_from_its_state(moment: MomentOf) -> None:
    trigger, other = slope(checks=2), slope(checks=2)
    trigger.check(at(moment, 4, 2.0))

    other.restore(json.loads(json.dumps(trigger.state())))

    assert trigger.state() == {"recent": [[4, 2.0]]}
    assert other.check(at(moment, 8, 2.0))


def test_a_spec_names_them_with_their_options() -> None:
    assert growth_with(trigger={"slope": {"least": 0.2}}).trigger.options == {"checks": 5, "least": 0.2}
    assert growth_with(trigger="corrected").trigger.options == {"patience": 3, "drift_crit": 0.3, "warmup_steps": 0}
