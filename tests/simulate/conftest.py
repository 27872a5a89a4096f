"""Small studies over real kinds, and trainings that are written down."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from growlab.domains import Value
from growlab.records import TrialState
from growlab.simulate.conditions import Conditions
from growlab.simulate.outcome import Simulation
from growlab.simulate.run import simulate
from growlab.simulate.table import Found, Trainings
from growlab.specs import TrialSpec
from growlab.study import Study
from growlab.study.reading import study_from_mapping
from growlab.trainings import Training

VOCAB_SIZE = 40


def study_of(n_trials: int = 3, **written: Any) -> Study:
    return study_from_mapping(
        {
            "name": "small",
            "n_trials": n_trials,
            "layouts": {"d_model": 16, "depth": {"low": 2, "high": 3}, "blocks": {"attn": {}, "conv": {}, "mlp": {}}},
            "train": {"lr": {"low": 1e-3, "high": 1e-2, "log": True}},
            "budget": {"flops": 900},
            "sampler": "random",
            **written,
        }
    )


def training_of(flops: int = 900, val_loss: float | None = 2.0, **changes: Any) -> Training:
    """One that came to its end, unless there is no loss."""
    values: dict[str, Any] = {
        "layout": "d=16 attn mlp",
        "params": {"train.lr": 2e-3},
        "state": TrialState.DIVERGED if val_loss is None else TrialState.COMPLETED,
        "flops": flops,
        "budget_flops": flops,
        "losses": {} if val_loss is None else {"val_loss": val_loss},
        "curve": {} if val_loss is None else {share: val_loss + 1 - share for share in (1 / 9, 1 / 3, 1.0)},
    }
    return Training(**{**values, **changes})


class Scripted:
    """The trainings of trials by their number, again from the first one when there are no more."""

    def __init__(self, trainings: Iterable[Training]) -> None:
        self.trainings, self.n_asked = list(trainings), 0

    def find(self, spec: TrialSpec, params: Mapping[str, Value]) -> Found:
        self.n_asked += 1
        return Found(self.trainings[(self.n_asked - 1) % len(self.trainings)], 0.0)


@pytest.fixture
def make_study() -> Callable[..., Study]:
    return study_of


@pytest.fixture
def make_training() -> Callable[..., Training]:
    return training_of


@pytest.fixture
def run() -> Callable[..., Simulation]:
    """Simulates a study whose trials come to these trainings in order, at a FLOP a second, and `of` such conditions."""

    def run(study: Study, trainings: Sequence[Training] | Trainings, n_workers: int = 1, **of: Any) -> Simulation:
        conditions = Conditions(**{"n_workers": n_workers, "flops_per_s": 1.0, **of})
        source = Scripted(trainings) if isinstance(trainings, Sequence) else trainings
        return simulate(study, source, conditions, VOCAB_SIZE)

    return run


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`fate(dies=[70])`: the worker that is there first dies after 70 s, and never again."""

    def decide(**times: list[float]) -> None:
        names = {"dies": "until_death_s", "preempted": "until_preemption_s"}
        for name, after in times.items():
            left = list(after)
            monkeypatch.setattr(
                f"growlab.simulate.conditions.Fate.{names[name]}",
                lambda self, left=left: left.pop(0) if left else float("inf"),
            )

    return decide
