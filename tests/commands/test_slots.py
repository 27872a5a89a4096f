"""growlab worker --slots: several trials at once on one device."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from signal import SIGINT, SIGTERM

import pytest

from growlab.records import EndReason, TrialState
from growlab.running.crew import Crew
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"


@pytest.mark.slow
def test_two_slots_finish_a_study_and_train_each_trial_once(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=4", "--set", "budget.steps=20")

    outcome = growlab("worker", "tiny", "--slots", "2", "--max-trials", "2")

    assert outcome.code == 0, outcome.err
    assert "2 worker(s) on study 'tiny'" in outcome.err
    with Store.open(STORAGE) as store:
        trials = store.trials(store.study("tiny").id)
        attempts = [store.attempts(trial.id) for trial in trials]
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 4
    assert [len(each) for each in attempts] == [1] * 4
    assert sorted(Counter(each[0].worker for each in attempts).values()) == [2, 2]


@pytest.mark.slow
def test_a_stop_saves_the_trials_of_all_slots_and_puts_them_back(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "budget.steps=100000", "--set", "n_trials=4")
    crews = [spawn("worker", "tiny", "--slots", "2") for _ in range(2)]
    with Store.open(STORAGE) as store:
        study_id = store.study("tiny").id
        deadline = time.monotonic() + 180
        while store.counts(study_id)[TrialState.RUNNING] < 4 and time.monotonic() < deadline:
            time.sleep(0.1)

        for crew, asked in zip(crews, (SIGINT, SIGTERM), strict=True):
            crew.send_signal(asked)
        said = [crew.communicate(timeout=180)[1] for crew in crews]

        trials = store.trials(study_id)
        first_ends = [store.attempts(trial.id)[0].end_reason for trial in trials]
    assert [crew.returncode for crew in crews] == [0, 0], said
    assert all("go on with: growlab worker tiny --slots 2" in words for words in said)
    assert [(trial.state, trial.strikes) for trial in trials] == [(TrialState.QUEUED, 0)] * 4
    assert first_ends == [EndReason.STOPPED] * 4


@pytest.mark.parametrize("slots", ["0", "many", "-1", "1.5", "", "257", "9" * 5000])
def test_slots_that_are_no_number_are_a_mistake(growlab: Callable, slots: str) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab("worker", "tiny", "--slots", slots)

    assert outcome.code == 2
    assert (
        f"--slots must be a number from 1 to 256, or auto, got {repr(slots)[:80]}" in outcome.err
    )  # a long one is cut


@pytest.mark.parametrize("slots", ["2", "auto"])
def test_the_workers_of_several_slots_cannot_have_one_name(growlab: Callable, slots: str) -> None:
    outcome = growlab("worker", "tiny", "--slots", slots, "--name", "box")

    assert outcome.code == 2
    assert "--name is for one worker" in outcome.err


@pytest.mark.slow
def test_workers_whose_crew_was_killed_save_their_trials_and_leave(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    """Else they would train on, and nobody who stops the crew would stop them."""
    growlab("study", "create", "tiny.yaml", "--set", "budget.steps=1000000", "--set", "n_trials=2")
    crew = spawn("worker", "tiny", "--slots", "2")
    with Store.open(STORAGE) as store:
        study_id = store.study("tiny").id
        _wait_until(lambda: store.counts(study_id)[TrialState.RUNNING] == 2)

        crew.kill()
        crew.wait()

        _wait_until(lambda: store.counts(study_id)[TrialState.QUEUED] == 2)
        ends = [store.attempts(trial.id)[0].end_reason for trial in store.trials(study_id)]
    assert ends == [EndReason.STOPPED] * 2


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    "words",
    [
        ("worker", "tiny", "--threads", "100000"),
        ("bench", "--threads", "100000"),
        ("train", "config.yaml", "--threads", "100000"),
        ("study", "run", "tiny.yaml", "--workers", "100000"),
    ],
)
def test_more_threads_or_workers_than_a_system_can_start_are_a_mistake(
    growlab: Callable, words: tuple[str, ...]
) -> None:
    """torch dies of them, by a signal; the machine does of so many workers."""
    outcome = growlab(*words)

    assert outcome.code == 2
    assert "less than or equal to" in outcome.err


def test_device_all_with_slots_is_so_many_on_each(growlab: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Crew, str]] = []
    monkeypatch.setattr("growlab.training.device.every_gpu", lambda: ["cuda:0", "cuda:1"])
    monkeypatch.setattr(
        "growlab.running.slot_run.work", lambda _, row, crew, again, follower: asked.append((crew, again))
    )
    growlab("study", "create", "tiny.yaml")

    assert growlab("worker", "tiny", "--device", "all", "--slots", "2").code == 0

    [(crew, again)] = asked
    assert crew.devices == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert again == "growlab worker tiny --device all --slots 2"


def test_deterministic_is_given_to_the_workers_of_a_study_run(
    growlab: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []

    def launch(*_: object, extra: list[str], **others: object) -> None:
        launched.extend(extra)
        raise KeyboardInterrupt

    monkeypatch.setattr("growlab.fleet.local.launch", launch)

    growlab("study", "run", "tiny.yaml", "--deterministic")

    assert launched.count("--deterministic") == 1


@pytest.mark.gpu
def test_auto_measures_a_gpu_and_fills_it(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=6")

    outcome = growlab("worker", "tiny", "--slots", "auto")

    assert outcome.code == 0, outcome.err
    assert "--slots auto: measuring on" in outcome.err
    assert "1 slot: " in outcome.err
    assert " → " in outcome.err
    with Store.open(STORAGE) as store:
        assert store.counts(store.study("tiny").id)[TrialState.COMPLETED] == 6
