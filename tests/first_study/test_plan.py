from typing import Any

import pytest

from growlab.bench.subjects import embedded_data
from growlab.first_study.machine import Pace
from growlab.first_study.plan import FEWEST_TRIALS, MOST_TRIALS, READINGS, TOKENS_PER_PARAM, Plan, make_plan


def plan(flops_per_s: float, n_tokens: int, **given: Any) -> Plan:
    pace = Pace(flops_per_s=flops_per_s, start_s=1.0)
    usual = {"vocab_size": 100, "data": embedded_data(), "minutes": 10, "n_workers": 2, "on_gpu": False}
    return make_plan(n_tokens=n_tokens, time=lambda spec: pace, **(usual | given))


@pytest.mark.parametrize("flops_per_s", [1e9, 2e10, 1e12, 1e14])
@pytest.mark.parametrize("n_tokens", [10_000, 1_000_000, 100_000_000])
@pytest.mark.parametrize("minutes", [0.5, 10, 120])
def test_a_plan_is_done_in_time_and_reads_no_text_too_often(flops_per_s: float, n_tokens: int, minutes: float) -> None:
    made = plan(flops_per_s, n_tokens, minutes=minutes)

    assert made.readings <= READINGS
    assert made.n_trials * made.flops / flops_per_s <= 60 * minutes * 2
    assert FEWEST_TRIALS <= made.n_trials <= MOST_TRIALS


def test_a_faster_machine_trains_larger_models_as_far_as_the_text_suffices() -> None:
    slow, fast, starved = plan(1e10, 10**8), plan(1e13, 10**8), plan(1e13, 10**6)

    assert slow.n_params < fast.n_params
    assert fast.tokens >= TOKENS_PER_PARAM * fast.n_params
    assert starved.n_params < fast.n_params
    assert (slow.budget.unit, starved.budget.unit) == ("flops", "tokens")


def test_validation_has_room_for_windows_and_takes_little_of_a_trial() -> None:
    large, small = plan(1e10, 10**8), plan(1e10, 10_000)

    assert large.val_fraction * 10**8 <= 3 * large.tokens / 50
    assert small.val_fraction * 10_000 >= 2 * (small.seq_len + 1)
