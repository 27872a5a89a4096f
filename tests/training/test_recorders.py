"""A recorder is whatever has the methods of growlab.training.recorder.Recorder: no base class says so, this does."""

import inspect
from typing import Any

import pytest

from growlab.storage import LeasedRecorder
from growlab.training.recorder import Recorder


def parameters(function: Any) -> list[Any]:
    """Their kinds, in order. Names are free, as the protocol's methods are called by position."""
    return [each.kind for each in inspect.signature(function).parameters.values()]


@pytest.fixture(params=["in memory", "leased"])
def recorder(request: pytest.FixtureRequest, list_recorder: type[Any]) -> type[Any]:
    return list_recorder if request.param == "in memory" else LeasedRecorder


def test_a_recorder_has_every_method_that_training_calls(recorder: type[Any]) -> None:
    asked = {name: parameters(method) for name, method in vars(Recorder).items() if not name.startswith("_")}

    assert asked
    assert {name: parameters(getattr(recorder, name)) for name in asked if hasattr(recorder, name)} == asked
