"""A trial that was interrupted is the trial that was not: bit for bit on the CPU, whatever the moment.

The trial of these tests takes snapshots at 3, 6, 9, …, evaluates at 5, 10, 15, … and grows at 15 and 30;
its warm-up ends at 19 and its cool-down at 22. Dropout is on.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from growlab.files import sha256_of
from growlab.records import Artifact, TrialResult
from growlab.specs import TrialSpec
from growlab.training.checkpoint import read_tensors

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest

MOMENTS = {
    0: "before everything",
    2: "before the first snapshot",
    7: "with a window half full",
    9: "between a snapshot and the check that acts on it",
    12: "between two stagnant checks",
    14: "right before growth",
    15: "right after growth",
    17: "in the warm-up",
    19: "at the end of the warm-up",
    20: "in the cool-down",
    29: "right before the second growth",
    30: "right after the second growth",
    44: "before the last step",
}
PROBE = 40  # where complete states are compared: grown twice, thawed, with a window


@dataclass
class Ending:
    facts: list[Any]
    result: TrialResult
    weights: str  # sha256 of the model's file
    tensors: dict[str, Tensor]  # of a checkpoint at PROBE
    numbers: dict[str, Any]


def finished(trial: Any, *, first_stops: tuple[int, ...] = ()) -> Ending:
    """Train to the end with stops on the way, the last of them at PROBE."""
    for stop in first_stops:
        assert trial.attempt(stop_at=stop) is None
    assert trial.attempt(stop_at=PROBE) is None
    tensors, numbers = read_tensors(trial.root / trial.recorder.committed.path, trial.recorder.committed.sha256)
    numbers["counters"].pop("elapsed_s")
    return ending_of(trial, trial.attempt(), tensors, numbers)


def ending_of(
    trial: Any, result: TrialResult, tensors: dict[str, Tensor] | None = None, numbers: dict[str, Any] | None = None
) -> Ending:
    [model] = [each for each in trial.recorder.artifacts if each.kind == "model"]
    return Ending(trial.recorder.timeless, replace(result, elapsed_s=0.0), model.sha256, tensors or {}, numbers or {})


def assert_same_facts(interrupted: Ending, whole: Ending) -> None:
    assert interrupted.facts == whole.facts
    assert interrupted.result == whole.result
    assert interrupted.weights == whole.weights


def assert_same_state(interrupted: Ending, whole: Ending) -> None:
    assert interrupted.tensors.keys() == whole.tensors.keys()
    differing = [name for name, each in whole.tensors.items() if not torch.equal(each, interrupted.tensors[name])]
    assert differing == []
    assert interrupted.numbers == whole.numbers


@pytest.fixture(scope="module")
def spec(make_spec: MakeSpec) -> TrialSpec:
    return make_spec(dropout=0.2, operator="aiether", entry_scale=1.0)


@pytest.fixture(scope="module")
def uninterrupted(new_trial: NewTrial, spec: TrialSpec) -> Ending:
    trial = new_trial(spec)
    ending = ending_of(trial, trial.attempt())
    assert [growth.step for growth in trial.recorder.growths] == [15, 30]
    return ending


@pytest.fixture(scope="module")
def probed(new_trial: NewTrial, spec: TrialSpec) -> Ending:
    return finished(new_trial(spec))


def test_a_stop_at_the_probe_changes_nothing(uninterrupted: Ending, probed: Ending) -> None:
    assert_same_facts(probed, uninterrupted)


@pytest.mark.parametrize("stop", MOMENTS, ids=MOMENTS.values())
def test_a_trial_stopped_once_is_the_trial_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, uninterrupted: Ending, probed: Ending, stop: int
) -> None:
    if stop > PROBE:
        trial = new_trial(spec)
        assert trial.attempt(stop_at=stop) is None
        assert_same_facts(ending_of(trial, trial.attempt()), uninterrupted)
        return

    interrupted = finished(new_trial(spec), first_stops=(stop,))

    assert_same_facts(interrupted, uninterrupted)
    assert_same_state(interrupted, probed)


def test_a_trial_stopped_again_and_again_is_the_trial_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, uninterrupted: Ending, probed: Ending
) -> None:
    interrupted = finished(new_trial(spec), first_stops=(5, 6, 6, 15, 16, 18, 19, 30, 31, 39))

    assert_same_facts(interrupted, uninterrupted)
    assert_same_state(interrupted, probed)


@pytest.mark.parametrize(("committed", "died"), [(None, 9), (13, 17), (16, 33), (30, 44)])
def test_a_trial_that_was_killed_loses_nothing_but_time(
    new_trial: NewTrial, spec: TrialSpec, uninterrupted: Ending, killed: type[Exception], committed: int, died: int
) -> None:
    trial = new_trial(spec)
    if committed:
        trial.attempt(stop_at=committed)
    with pytest.raises(killed):
        trial.attempt(die_at=died)

    assert_same_facts(ending_of(trial, trial.attempt()), uninterrupted)


def of_the_first_schemas(root: Path, checkpoint: Artifact) -> Artifact:
    """The same state as growlab wrote it with a database of schema 0001 or 0002, name by name."""
    tensors, now = read_tensors(root / checkpoint.path, checkpoint.sha256)
    counters = ("step", "flops", "tokens", "elapsed_s", "val_loss", "best_val_loss")
    growth = {name: now["growth"][name] for name in ("phase", "phase_ends_at", "n_growths")}
    growth["trigger"] = {name: now["growth"]["trigger"][name] for name in ("stagnant_checks", "last_val_loss")}
    then = {name: now[name] for name in ("format", "grown", "loss_count", "n_taken", "born", "increments")}
    then |= {"counters": {name: now["counters"][name] for name in counters}, "growth": growth}
    assert {"model/units.0.0.mixer.qkv.weight", "adam/units.0.1.norm.weight/exp_avg", "loss_sum"} <= tensors.keys()
    assert {name for name in tensors if name.startswith("model/units.1.")} or not then["grown"]
    save_file(tensors, root / checkpoint.path, {"growlab": json.dumps(then)})
    return replace(checkpoint, sha256=sha256_of(root / checkpoint.path))


@pytest.mark.parametrize("stop", [12, 17, 33])
def test_a_trial_of_an_old_database_goes_on_from_its_checkpoint(
    new_trial: NewTrial, spec: TrialSpec, uninterrupted: Ending, stop: int
) -> None:
    trial = new_trial(spec)
    trial.attempt(stop_at=stop)
    trial.recorder.committed = of_the_first_schemas(trial.root, trial.recorder.committed)

    result = trial.attempt()

    assert trial.recorder.reasons_to_start_over == []
    assert_same_facts(ending_of(trial, result), uninterrupted)


def test_checkpoints_on_the_way_change_nothing(new_trial: NewTrial, spec: TrialSpec, uninterrupted: Ending) -> None:
    trial = new_trial(spec)

    result = trial.attempt(checkpoint_every_s=0.0)

    assert [each.step for each in trial.recorder.commits] == list(range(1, 46))
    assert_same_facts(ending_of(trial, result), uninterrupted)


def test_a_trial_killed_between_writing_and_committing_has_the_checkpoint_before(
    new_trial: NewTrial,
    spec: TrialSpec,
    uninterrupted: Ending,
    killed: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = new_trial(spec)
    trial.attempt(stop_at=13)

    def die(*_: object) -> None:
        raise killed

    with monkeypatch.context() as patch:
        patch.setattr(trial.recorder, "commit", die)
        with pytest.raises(killed):
            trial.attempt(stop_at=16)
    ending = ending_of(trial, trial.attempt())

    assert trial.recorder.reasons_to_start_over == []
    assert_same_facts(ending, uninterrupted)


def test_a_trial_killed_after_its_last_step_only_has_to_finish(
    new_trial: NewTrial,
    spec: TrialSpec,
    uninterrupted: Ending,
    killed: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = new_trial(spec)

    def die(*_: object) -> None:
        raise killed

    with monkeypatch.context() as patch:
        patch.setattr(trial.recorder, "finish", die)
        with pytest.raises(killed):
            trial.attempt(checkpoint_every_s=0.0)

    assert trial.recorder.committed.step == 45
    assert_same_facts(ending_of(trial, trial.attempt()), uninterrupted)


@pytest.mark.parametrize(
    ("layout", "unit"),
    [
        ("d=16 attn[n_heads=2] mlp conv mlp", "conv mlp"),
        ("d=16 attn[n_heads=2] mlp conv mlp", "attn[n_heads=2] mlp"),
        ("d=16 attn[n_heads=2] mlp", "mlp"),
        ("d=16 conv mlp", "conv mlp conv[kernel=3] mlp"),
        ("d=16 mlp conv", "last"),
    ],
)
def test_a_trial_resumes_whatever_units_it_grows(
    make_spec: MakeSpec, new_trial: NewTrial, layout: str, unit: str
) -> None:
    spec = make_spec(layout=layout, unit=unit, max_depth=10, dropout=0.1)
    whole, stopped = new_trial(spec), new_trial(spec)
    ending = finished(whole)

    interrupted = finished(stopped, first_stops=(17, 32))

    assert len(whole.recorder.growths) == 2
    assert_same_facts(interrupted, ending)
    assert_same_state(interrupted, ending)


def test_elapsed_time_adds_up_over_attempts(new_trial: NewTrial, spec: TrialSpec) -> None:
    trial = new_trial(spec)
    trial.attempt(stop_at=20)
    _, numbers = read_tensors(trial.root / trial.recorder.committed.path, trial.recorder.committed.sha256)

    result = trial.attempt()

    assert result.elapsed_s > numbers["counters"]["elapsed_s"] > 0
