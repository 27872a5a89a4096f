"""The trigger and the operator that the documents show, in trials that are stopped and gone on with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from growlab.plugins import load_plugins
from growlab.recipes import PARTS, SORTS
from growlab.specs import TrialSpec

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def shown(repository: Path) -> Iterator[None]:
    """The plugins of docs/ are loaded while this module's tests run."""
    before = {sort: dict(PARTS[sort]) for sort in SORTS}
    load_plugins([repository / "docs" / "my_trigger.py", repository / "docs" / "my_operator.py"])
    yield
    for sort in SORTS:
        PARTS[sort].reset(before[sort])


@pytest.fixture
def spec(make_spec: MakeSpec) -> TrialSpec:
    """Grows once, half-way, by the mean of its two units, and prepends what grew."""
    return make_spec(
        layout="d=16 conv mlp conv mlp",
        trigger={"share": {"at": 0.5}},
        operator={"mean-of-two": {"newer": 0.25}},
        position="prepend",
        max_depth=8,
        steps=40,
        eval_every=5,
        lr=0.01,
        entry_scale=1.0,
    )


def test_a_trigger_of_a_plugin_fires_at_its_share_and_its_operator_makes_the_unit(
    spec: TrialSpec, new_trial: NewTrial
) -> None:
    trial = new_trial(spec)

    trial.attempt()

    [event] = trial.recorder.growths
    assert (event.step, event.position, event.reason, event.operator) == (20, 0, "share", "mean-of-two")
    assert event.val_loss_after != event.val_loss_before


@pytest.mark.parametrize("stop_at", [10, 21, 22, 35])
def test_it_resumes_to_the_same_bits_before_during_and_after_its_growth(
    spec: TrialSpec, new_trial: NewTrial, stop_at: int
) -> None:
    undisturbed, stopped = new_trial(spec), new_trial(spec)
    expected = undisturbed.attempt()

    assert stopped.attempt(stop_at=stop_at) is None
    result = stopped.attempt()

    assert (result.val_loss, result.steps, result.flops) == (expected.val_loss, expected.steps, expected.flops)
    assert [event.step for event in stopped.recorder.growths] == [20]
